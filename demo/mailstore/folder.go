package mailstore

import (
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
)

// delimiter separates the levels of a folder's name.
const delimiter = '/'

// gmailFolders are the folders of a new mailbox. Google translates all names but
// INBOX; the attributes are the same in all languages.
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

// SentFolder gets a copy of each message that the mailbox sends.
const SentFolder = "[Gmail]/Sent Mail"

// folder is a folder of a mailbox, whose lock guards it.
type folder struct {
	name       string
	attr       imap.MailboxAttr
	validity   uint32
	subscribed bool
	next       imap.UID
	messages   []*message
	tracker    *imapserver.MailboxTracker
	changed    chan struct{} // closed and replaced when the tracker gets news
}

// folderName returns a name with INBOX in its one spelling (RFC 3501 §5.1).
func folderName(name string) string {
	if strings.EqualFold(name, "INBOX") {
		return "INBOX"
	}
	return name
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

// wakeIdlers makes the sessions that idle in a folder poll its tracker. The
// mailbox is locked.
func (f *folder) wakeIdlers() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// expunge removes messages and tells every session that has the folder open.
// It starts at the end: a number reported earlier stays right.
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

func (f *folder) status(options *imap.StatusOptions) *imap.StatusData {
	var unseen, deleted, recent uint32
	var size int64
	for _, m := range f.messages {
		size += int64(len(m.body))
		if !m.flags[imap.FlagSeen] {
			unseen++
		}
		if m.flags[imap.FlagDeleted] {
			deleted++
		}
	}
	count := uint32(len(f.messages))
	return &imap.StatusData{
		Mailbox: f.name, NumMessages: &count, NumUnseen: &unseen, NumDeleted: &deleted, NumRecent: &recent,
		Size: &size, UIDNext: f.next, UIDValidity: f.validity,
	}
}
