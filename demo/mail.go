package demo

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

// Why not imapmemserver: it gives no access to a message but through an IMAP
// connection (POP3 and [Provider.Messages] need one), rewrites what it parses
// (a judge of bytes must not), keeps a folder locked while it writes to a
// client (one that stops reading would stall every other), and has no
// SPECIAL-USE. What it is built on, imapserver and its trackers, serves here.

// delimiter separates the levels of a folder's name.
const delimiter = '/'

// gmailFolders are a mailbox's folders at birth. Google translates all names
// but INBOX; the attributes tell.
var gmailFolders = []struct {
	name string
	attr imap.MailboxAttr
}{
	{"INBOX", ""},
	{"[Gmail]", imap.MailboxAttrNoSelect},
	{"[Gmail]/All Mail", imap.MailboxAttrAll},
	{"[Gmail]/Drafts", imap.MailboxAttrDrafts},
	{"[Gmail]/Important", imap.MailboxAttrImportant},
	{"[Gmail]/Sent Mail", imap.MailboxAttrSent},
	{"[Gmail]/Spam", imap.MailboxAttrJunk},
	{"[Gmail]/Starred", imap.MailboxAttrFlagged},
	{"[Gmail]/Trash", imap.MailboxAttrTrash},
}

const sentFolder = "[Gmail]/Sent Mail"

// account is a mailbox. Its lock guards everything inside it and is never held
// while a client is written to.
type account struct {
	address   string
	nobodys   bool     // nobody signs in as it: it is shared and no more
	delegates []string // who else is let in

	mu       sync.Mutex
	folders  map[string]*folder
	validity uint32
	sessions int // IMAP sessions now
}

type folder struct {
	name       string
	attr       imap.MailboxAttr
	validity   uint32
	subscribed bool
	next       imap.UID
	messages   []*message
	tracker    *imapserver.MailboxTracker
	changed    chan struct{} // closed when the tracker has been told something, and replaced
}

// message is one message of one folder; copies share the body.
type message struct {
	uid      imap.UID
	body     []byte // never changed
	received time.Time
	flags    map[imap.Flag]bool
}

func newAccount(address string) *account {
	a := &account{address: address, folders: make(map[string]*folder), validity: 1}
	for _, f := range gmailFolders {
		created := a.createLocked(f.name)
		created.attr, created.subscribed = f.attr, true
	}
	return a
}

// createLocked makes a folder with a UIDVALIDITY never used before: a folder
// made again under an old name is another one (RFC 3501 §2.3.1.1).
func (a *account) createLocked(name string) *folder {
	f := &folder{name: name, validity: a.validity, next: 1, tracker: imapserver.NewMailboxTracker(0), changed: make(chan struct{})}
	a.validity++
	a.folders[name] = f
	return f
}

// folderName brings INBOX into its one spelling (RFC 3501 §5.1).
func folderName(name string) string {
	if strings.EqualFold(name, "INBOX") {
		return "INBOX"
	}
	return name
}

// folderLocked finds a folder that can hold messages.
func (a *account) folderLocked(name string) *folder {
	f := a.folders[folderName(name)]
	if f == nil || f.attr == imap.MailboxAttrNoSelect {
		return nil
	}
	return f
}

func (a *account) deliver(folder string, body []byte, flags ...imap.Flag) {
	body = slices.Clone(body)
	a.mu.Lock()
	defer a.mu.Unlock()
	if f := a.folderLocked(folder); f != nil { // a client may delete Sent Mail
		f.add(body, time.Now(), flags)
	}
}

// add appends a message and tells every session that has the folder open.
func (f *folder) add(body []byte, received time.Time, flags []imap.Flag) imap.UID {
	m := &message{uid: f.next, body: body, received: received, flags: make(map[imap.Flag]bool)}
	for _, flag := range flags {
		m.flags[canonicalFlag(flag)] = true
	}
	f.next++
	f.messages = append(f.messages, m)
	f.tracker.QueueNumMessages(uint32(len(f.messages)))
	f.wakeIdlers()
	return m.uid
}

// wakeIdlers has the sessions that idle in a folder look at what its tracker
// was told. The account is locked.
func (f *folder) wakeIdlers() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// expunge removes messages and tells every session that has the folder open.
// It goes from the end so that the numbers told stay true one by one.
func (f *folder) expunge(gone func(*message) bool) {
	kept := len(f.messages)
	for i := len(f.messages) - 1; i >= 0; i-- {
		if gone(f.messages[i]) {
			f.messages[i] = nil
			f.tracker.QueueExpunge(uint32(i) + 1)
			kept--
		}
	}
	left := make([]*message, 0, kept)
	for _, m := range f.messages {
		if m != nil {
			left = append(left, m)
		}
	}
	f.messages = left
	f.wakeIdlers()
}

func (a *account) messages(name string) ([][]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f := a.folderLocked(name)
	if f == nil {
		return nil, fmt.Errorf("mailbox %s has no folder %q", a.address, name)
	}
	bodies := make([][]byte, len(f.messages))
	for i, m := range f.messages {
		bodies[i] = slices.Clone(m.body)
	}
	return bodies, nil
}

// enter counts an IMAP session in, unless there are too many.
func (a *account) enter(max int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if max > 0 && a.sessions >= max {
		return false
	}
	a.sessions++
	return true
}

func (a *account) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sessions--
}

// flagList returns a message's flags in a stable order.
func (m *message) flagList() []imap.Flag { return slices.Sorted(maps.Keys(m.flags)) }

// canonicalFlag spells a system flag as RFC 3501 §2.3.2 does; keywords keep
// the spelling they came with.
func canonicalFlag(flag imap.Flag) imap.Flag {
	for _, f := range systemFlags {
		if strings.EqualFold(string(f), string(flag)) {
			return f
		}
	}
	return flag
}

var systemFlags = []imap.Flag{
	imap.FlagAnswered, imap.FlagFlagged, imap.FlagDraft, imap.FlagDeleted, imap.FlagSeen,
	"$NotPhishing", imap.FlagPhishing,
}
