package demo

import (
	"maps"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
)

var (
	errNoFolder   = &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeNonExistent, Text: "Unknown Mailbox (Failure)"}
	errTryCreate  = &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeTryCreate, Text: "No folder (Failure)"}
	errExists     = &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeAlreadyExists, Text: "Duplicate folder name (Failure)"}
	errCannot     = &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeCannot, Text: "Not allowed on a system folder (Failure)"}
	errSameFolder = &imap.Error{Type: imap.StatusResponseTypeNo, Text: "Source and destination are the same folder (Failure)"}
)

// List answers LIST and LSUB, with attributes in Gmail's order: "(\All
// \HasNoChildren)".
func (s *imapSession) List(w *imapserver.ListWriter, ref string, patterns []string, options *imap.ListOptions) error {
	if len(patterns) == 0 { // RFC 3501 §6.3.8: a question about the delimiter
		return w.WriteList(&imap.ListData{Attrs: []imap.MailboxAttr{imap.MailboxAttrNoSelect}, Delim: delimiter})
	}
	for _, data := range s.account.list(ref, patterns, options) {
		if err := w.WriteList(data); err != nil {
			return err
		}
	}
	return nil
}

func (a *account) list(ref string, patterns []string, options *imap.ListOptions) []*imap.ListData {
	a.mu.Lock()
	defer a.mu.Unlock()
	var found []*imap.ListData
	for _, name := range slices.Sorted(maps.Keys(a.folders)) {
		f := a.folders[name]
		matches := slices.ContainsFunc(patterns, func(pattern string) bool {
			return imapserver.MatchList(name, delimiter, ref, pattern)
		})
		if !matches || options.SelectSubscribed && !f.subscribed ||
			options.SelectSpecialUse && (f.attr == "" || f.attr == imap.MailboxAttrNoSelect) {
			continue
		}
		data := &imap.ListData{Attrs: a.attributesLocked(f), Delim: delimiter, Mailbox: name}
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

func (a *account) attributesLocked(f *folder) []imap.MailboxAttr {
	children := imap.MailboxAttrHasNoChildren
	for name := range a.folders {
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

// Status answers STATUS.
func (s *imapSession) Status(name string, options *imap.StatusOptions) (*imap.StatusData, error) {
	s.account.mu.Lock()
	defer s.account.mu.Unlock()
	f := s.account.folderLocked(name)
	if f == nil {
		return nil, errNoFolder
	}
	return f.status(options), nil
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

// Create makes a folder, and those above it.
func (s *imapSession) Create(name string, _ *imap.CreateOptions) error {
	name = strings.TrimSuffix(name, string(delimiter))
	s.account.mu.Lock()
	defer s.account.mu.Unlock()
	if s.account.folders[folderName(name)] != nil {
		return errExists
	}
	for i, r := range name {
		if above := name[:i]; r == delimiter && s.account.folders[folderName(above)] == nil {
			s.account.createLocked(above)
		}
	}
	s.account.createLocked(name)
	return nil
}

// Delete removes a folder with its messages.
func (s *imapSession) Delete(name string) error {
	s.account.mu.Lock()
	defer s.account.mu.Unlock()
	f := s.account.folders[folderName(name)]
	switch {
	case f == nil:
		return errNoFolder
	case f.name == "INBOX" || f.attr != "":
		return errCannot
	}
	delete(s.account.folders, f.name)
	return nil
}

// Rename moves a folder and all below it.
func (s *imapSession) Rename(from, to string, _ *imap.RenameOptions) error {
	to = strings.TrimSuffix(to, string(delimiter))
	s.account.mu.Lock()
	defer s.account.mu.Unlock()
	f := s.account.folders[folderName(from)]
	switch {
	case f == nil:
		return errNoFolder
	case f.name == "INBOX" || f.attr != "":
		return errCannot
	case s.account.folders[folderName(to)] != nil:
		return errExists
	}
	from = f.name
	for name, f := range maps.Clone(s.account.folders) {
		if name == from || strings.HasPrefix(name, from+string(delimiter)) {
			delete(s.account.folders, name)
			f.name = to + name[len(from):]
			s.account.folders[f.name] = f
		}
	}
	return nil
}

// Subscribe and Unsubscribe keep what LSUB lists.
func (s *imapSession) Subscribe(name string) error   { return s.subscribe(name, true) }
func (s *imapSession) Unsubscribe(name string) error { return s.subscribe(name, false) }

func (s *imapSession) subscribe(name string, on bool) error {
	s.account.mu.Lock()
	defer s.account.mu.Unlock()
	f := s.account.folders[folderName(name)]
	if f == nil {
		return errNoFolder
	}
	f.subscribed = on
	return nil
}

// Namespace answers NAMESPACE as Gmail does: one, without a prefix.
func (s *imapSession) Namespace() (*imap.NamespaceData, error) {
	return &imap.NamespaceData{Personal: []imap.NamespaceDescriptor{{Delim: delimiter}}}, nil
}
