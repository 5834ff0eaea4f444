package mailstore

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
)

// Mailbox is a mailbox with its folders. Its lock guards all of its content and is
// never held while a client is written to.
type Mailbox struct {
	address   string
	shared    bool     // only shared: it has no owner who signs in
	delegates []string // other addresses that may open it

	mu       sync.Mutex
	folders  map[string]*folder
	validity uint32
	sessions int // IMAP sessions now
}

func newMailbox(address string) *Mailbox {
	m := &Mailbox{address: address, folders: make(map[string]*folder), validity: 1}
	for _, f := range gmailFolders {
		created := m.createLocked(f.name)
		created.attr, created.subscribed = f.attr, true
	}
	return m
}

// createLocked makes a folder with a UIDVALIDITY never used before: a new folder
// under an old name is a different folder (RFC 3501 §2.3.1.1).
func (m *Mailbox) createLocked(name string) *folder {
	f := &folder{name: name, validity: m.validity, next: 1, tracker: imapserver.NewMailboxTracker(0), changed: make(chan struct{})}
	m.validity++
	m.folders[name] = f
	return f
}

// folderLocked finds a folder that can hold messages.
func (m *Mailbox) folderLocked(name string) *folder {
	f := m.folders[folderName(name)]
	if f == nil || f.attr == imap.MailboxAttrNoSelect {
		return nil
	}
	return f
}

// Address returns the mailbox's address.
func (m *Mailbox) Address() string { return m.address }

// Opens reports whether an address may open the mailbox: as its owner or as one
// it is shared with.
func (m *Mailbox) Opens(address string) bool {
	return address == m.address || slices.Contains(m.delegates, address)
}

// Deliver appends a message to a folder, if the folder exists.
func (m *Mailbox) Deliver(folder string, body []byte, flags ...imap.Flag) {
	body = slices.Clone(body)
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.folderLocked(folder); f != nil { // a client may delete Sent Mail
		f.add(body, time.Now(), flags)
	}
}

// Messages returns the messages of a folder as they are stored.
func (m *Mailbox) Messages(name string) ([][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.folderLocked(name)
	if f == nil {
		return nil, fmt.Errorf("mailbox %s has no folder %q", m.address, name)
	}
	bodies := make([][]byte, len(f.messages))
	for i, message := range f.messages {
		bodies[i] = slices.Clone(message.body)
	}
	return bodies, nil
}

// Count returns how many messages all folders have.
func (m *Mailbox) Count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, f := range m.folders {
		n += len(f.messages)
	}
	return n
}

// InboxMessage is a message of an INBOX.
type InboxMessage struct {
	UID  imap.UID
	Body []byte // never changed
}

// Inbox returns the messages of the INBOX and its UIDVALIDITY.
func (m *Mailbox) Inbox() (messages []*InboxMessage, validity uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	inbox := m.folders["INBOX"]
	for _, message := range inbox.messages {
		messages = append(messages, &InboxMessage{message.uid, message.body})
	}
	return messages, inbox.validity
}

// RemoveFromInbox removes messages from the INBOX. It ignores those that another
// session has removed.
func (m *Mailbox) RemoveFromInbox(uids map[imap.UID]bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.folders["INBOX"].expunge(func(message *message) bool { return uids[message.uid] })
}

// Enter counts an IMAP session, and reports false if there are max already. A
// max of 0 is no limit.
func (m *Mailbox) Enter(max int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if max > 0 && m.sessions >= max {
		return false
	}
	m.sessions++
	return true
}

// Leave ends what [Mailbox.Enter] counted.
func (m *Mailbox) Leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sessions--
}

// list answers LIST and LSUB.
func (m *Mailbox) list(ref string, patterns []string, options *imap.ListOptions) []*imap.ListData {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []*imap.ListData
	for _, name := range slices.Sorted(maps.Keys(m.folders)) {
		f := m.folders[name]
		matches := slices.ContainsFunc(patterns, func(pattern string) bool {
			return imapserver.MatchList(name, delimiter, ref, pattern)
		})
		if !matches || options.SelectSubscribed && !f.subscribed ||
			options.SelectSpecialUse && (f.attr == "" || f.attr == imap.MailboxAttrNoSelect) {
			continue
		}
		data := &imap.ListData{Attrs: m.attributesLocked(f), Delim: delimiter, Mailbox: name}
		if f.subscribed && (options.SelectSubscribed || options.ReturnSubscribed) {
			data.Attrs = append(data.Attrs, imap.MailboxAttrSubscribed)
		}
		if options.ReturnStatus != nil && f.attr != imap.MailboxAttrNoSelect {
			data.Status = f.status(options.ReturnStatus)
		}
		found = append(found, data)
	}
	return found
}

// attributesLocked returns a folder's attributes in Gmail's order.
func (m *Mailbox) attributesLocked(f *folder) []imap.MailboxAttr {
	children := imap.MailboxAttrHasNoChildren
	for name := range m.folders {
		if strings.HasPrefix(name, f.name+string(delimiter)) {
			children = imap.MailboxAttrHasChildren
		}
	}
	switch f.attr {
	case "":
		return []imap.MailboxAttr{children}
	case imap.MailboxAttrNoSelect:
		return []imap.MailboxAttr{children, f.attr}
	}
	return []imap.MailboxAttr{f.attr, children}
}
