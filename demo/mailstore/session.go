package mailstore

import (
	"bufio"
	"bytes"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-message/textproto"
)

// appendLimit is Gmail's APPENDLIMIT (RFC 7889).
const appendLimit = 35651584

var (
	errNoFolder   = &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeNonExistent, Text: "Unknown Mailbox (Failure)"}
	errTryCreate  = &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeTryCreate, Text: "No folder (Failure)"}
	errExists     = &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeAlreadyExists, Text: "Duplicate folder name (Failure)"}
	errCannot     = &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeCannot, Text: "Not allowed on a system folder (Failure)"}
	errSameFolder = &imap.Error{Type: imap.StatusResponseTypeNo, Text: "Source and destination are the same folder (Failure)"}
	errReadOnly   = &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeNoPerm, Text: "Folder is read-only (Failure)"}
	errLoggedIn   = &imap.Error{Type: imap.StatusResponseTypeBad, Text: "already authenticated"}
)

// Session is one IMAP client's session after its login, as imapserver wants it.
type Session struct {
	mailbox    *Mailbox
	beforeBody func(size int)

	folder   *folder // nil: none is selected
	readOnly bool
	tracker  *imapserver.SessionTracker
}

var (
	_ imapserver.SessionIMAP4rev2   = (*Session)(nil)
	_ imapserver.SessionAppendLimit = (*Session)(nil)
)

// NewSession returns a session on a mailbox. beforeBody, if not nil, is called with
// the size of each body or part before FETCH writes it.
func NewSession(mailbox *Mailbox, beforeBody func(size int)) *Session {
	return &Session{mailbox: mailbox, beforeBody: beforeBody}
}

// Login is never reached: the session begins with the login done.
func (s *Session) Login(string, string) error { return errLoggedIn }

// AppendLimit returns the limit that APPENDLIMIT advertises.
func (s *Session) AppendLimit() uint32 { return appendLimit }

// Close ends the session.
func (s *Session) Close() error {
	if s.folder != nil {
		s.tracker.Close()
	}
	return nil
}

// Select opens a folder.
func (s *Session) Select(name string, options *imap.SelectOptions) (*imap.SelectData, error) {
	s.mailbox.mu.Lock()
	defer s.mailbox.mu.Unlock()
	f := s.mailbox.folderLocked(name)
	if f == nil {
		return nil, errNoFolder
	}
	s.folder, s.readOnly, s.tracker = f, options.ReadOnly, f.tracker.NewSession()
	var unseen uint32
	for i, m := range f.messages {
		if !m.flags[imap.FlagSeen] {
			unseen = uint32(i) + 1
			break
		}
	}
	return &imap.SelectData{
		Flags:             systemFlags,
		PermanentFlags:    append(slices.Clone(systemFlags), imap.FlagWildcard),
		NumMessages:       uint32(len(f.messages)),
		FirstUnseenSeqNum: unseen,
		UIDNext:           f.next,
		UIDValidity:       f.validity,
	}, nil
}

// Unselect closes the folder.
func (s *Session) Unselect() error {
	s.tracker.Close()
	s.folder = nil
	return nil
}

// Append stores a message.
func (s *Session) Append(name string, r imap.LiteralReader, options *imap.AppendOptions) (*imap.AppendData, error) {
	body := make([]byte, r.Size())
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err
	}
	received := options.Time
	if received.IsZero() {
		received = time.Now()
	}
	s.mailbox.mu.Lock()
	defer s.mailbox.mu.Unlock()
	f := s.mailbox.folderLocked(name)
	if f == nil {
		return nil, errTryCreate
	}
	return &imap.AppendData{UID: f.add(body, received, options.Flags), UIDValidity: f.validity}, nil
}

// Poll tells the client what has changed since it was last told.
func (s *Session) Poll(w *imapserver.UpdateWriter, allowExpunge bool) error {
	if s.folder == nil {
		return nil
	}
	return s.tracker.Poll(w, allowExpunge)
}

// Idle tells the client of changes as they happen. It does not leave that to
// the tracker's Idle, which imapserver starts after it has told the client
// "+ idling": a change between the two would wait for the next one.
func (s *Session) Idle(w *imapserver.UpdateWriter, stop <-chan struct{}) error {
	if s.folder == nil {
		<-stop
		return nil
	}
	for {
		s.mailbox.mu.Lock()
		changed := s.folder.changed
		s.mailbox.mu.Unlock()
		if err := s.tracker.Poll(w, true); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-stop:
			return nil
		}
	}
}

// Expunge removes messages marked \Deleted; the poll after it tells the client.
func (s *Session) Expunge(_ *imapserver.ExpungeWriter, uids *imap.UIDSet) error {
	if s.readOnly {
		return errReadOnly
	}
	s.mailbox.mu.Lock()
	defer s.mailbox.mu.Unlock()
	meant := func(uint32, imap.UID) bool { return true }
	if uids != nil {
		meant = among(*uids, s.viewLocked())
	}
	s.folder.expunge(func(m *message) bool { return m.flags[imap.FlagDeleted] && meant(0, m.uid) })
	return nil
}

// Store changes flags.
func (s *Session) Store(w *imapserver.FetchWriter, set imap.NumSet, flags *imap.StoreFlags, _ *imap.StoreOptions) error {
	if s.readOnly {
		return errReadOnly
	}
	s.mailbox.mu.Lock()
	for _, v := range s.chosenLocked(set) {
		v.store(flags)
		s.folder.tracker.QueueMessageFlags(v.place, v.uid, v.flagList(), s.tracker)
	}
	s.folder.wakeIdlers()
	s.mailbox.mu.Unlock()
	if flags.Silent {
		return nil
	}
	return s.Fetch(w, set, &imap.FetchOptions{Flags: true})
}

// Copy copies messages to another folder.
func (s *Session) Copy(set imap.NumSet, dest string) (*imap.CopyData, error) {
	s.mailbox.mu.Lock()
	defer s.mailbox.mu.Unlock()
	data, _, err := s.copyLocked(set, dest)
	return data, err
}

// copyLocked returns nil data if no message was meant: COPYUID cannot say "none".
func (s *Session) copyLocked(set imap.NumSet, dest string) (*imap.CopyData, []viewed, error) {
	to := s.mailbox.folderLocked(dest)
	switch {
	case to == nil:
		return nil, nil, errTryCreate
	case to == s.folder:
		return nil, nil, errSameFolder
	}
	data := &imap.CopyData{UIDValidity: to.validity}
	chosen := s.chosenLocked(set)
	for _, v := range chosen {
		data.SourceUIDs.AddNum(v.uid)
		data.DestUIDs.AddNum(to.add(v.body, v.received, v.flagList()))
	}
	if len(chosen) == 0 {
		data = nil
	}
	return data, chosen, nil
}

// Move moves messages to another folder: RFC 6851. The poll after it tells the
// client what has gone from this one.
func (s *Session) Move(w *imapserver.MoveWriter, set imap.NumSet, dest string) error {
	if s.readOnly {
		return errReadOnly
	}
	s.mailbox.mu.Lock()
	data, chosen, err := s.copyLocked(set, dest)
	moved := make(map[imap.UID]bool, len(chosen))
	for _, v := range chosen {
		moved[v.uid] = true
	}
	if len(moved) > 0 {
		s.folder.expunge(func(m *message) bool { return moved[m.uid] })
	}
	s.mailbox.mu.Unlock()
	if err != nil || data == nil {
		return err
	}
	return w.WriteCopyData(data)
}

// List answers LIST and LSUB, with attributes in Gmail's order: "(\All
// \HasNoChildren)".
func (s *Session) List(w *imapserver.ListWriter, ref string, patterns []string, options *imap.ListOptions) error {
	if len(patterns) == 0 { // RFC 3501 §6.3.8: a question about the delimiter
		return w.WriteList(&imap.ListData{Attrs: []imap.MailboxAttr{imap.MailboxAttrNoSelect}, Delim: delimiter})
	}
	for _, data := range s.mailbox.list(ref, patterns, options) {
		if err := w.WriteList(data); err != nil {
			return err
		}
	}
	return nil
}

// Status answers STATUS.
func (s *Session) Status(name string, options *imap.StatusOptions) (*imap.StatusData, error) {
	s.mailbox.mu.Lock()
	defer s.mailbox.mu.Unlock()
	f := s.mailbox.folderLocked(name)
	if f == nil {
		return nil, errNoFolder
	}
	return f.status(options), nil
}

// Create makes a folder, and those above it.
func (s *Session) Create(name string, _ *imap.CreateOptions) error {
	name = strings.TrimSuffix(name, string(delimiter))
	s.mailbox.mu.Lock()
	defer s.mailbox.mu.Unlock()
	if s.mailbox.folders[folderName(name)] != nil {
		return errExists
	}
	for i, r := range name {
		if above := name[:i]; r == delimiter && s.mailbox.folders[folderName(above)] == nil {
			s.mailbox.createLocked(above)
		}
	}
	s.mailbox.createLocked(name)
	return nil
}

// Delete removes a folder with its messages.
func (s *Session) Delete(name string) error {
	s.mailbox.mu.Lock()
	defer s.mailbox.mu.Unlock()
	f := s.mailbox.folders[folderName(name)]
	switch {
	case f == nil:
		return errNoFolder
	case f.name == "INBOX" || f.attr != "":
		return errCannot
	}
	delete(s.mailbox.folders, f.name)
	return nil
}

// Rename moves a folder and all below it.
func (s *Session) Rename(from, to string, _ *imap.RenameOptions) error {
	to = strings.TrimSuffix(to, string(delimiter))
	s.mailbox.mu.Lock()
	defer s.mailbox.mu.Unlock()
	f := s.mailbox.folders[folderName(from)]
	switch {
	case f == nil:
		return errNoFolder
	case f.name == "INBOX" || f.attr != "":
		return errCannot
	case s.mailbox.folders[folderName(to)] != nil:
		return errExists
	}
	from = f.name
	for name, f := range maps.Clone(s.mailbox.folders) {
		if name == from || strings.HasPrefix(name, from+string(delimiter)) {
			delete(s.mailbox.folders, name)
			f.name = to + name[len(from):]
			s.mailbox.folders[f.name] = f
		}
	}
	return nil
}

// Subscribe and Unsubscribe keep what LSUB lists.
func (s *Session) Subscribe(name string) error   { return s.subscribe(name, true) }
func (s *Session) Unsubscribe(name string) error { return s.subscribe(name, false) }

func (s *Session) subscribe(name string, on bool) error {
	s.mailbox.mu.Lock()
	defer s.mailbox.mu.Unlock()
	f := s.mailbox.folders[folderName(name)]
	if f == nil {
		return errNoFolder
	}
	f.subscribed = on
	return nil
}

// Namespace answers NAMESPACE as Gmail does: one, without a prefix.
func (s *Session) Namespace() (*imap.NamespaceData, error) {
	return &imap.NamespaceData{Personal: []imap.NamespaceDescriptor{{Delim: delimiter}}}, nil
}

// viewLocked lists the messages this client knows of.
func (s *Session) viewLocked() []viewed {
	view := make([]viewed, 0, len(s.folder.messages))
	for i, m := range s.folder.messages {
		place := uint32(i) + 1
		if n := s.tracker.EncodeSeqNum(place); n != 0 {
			view = append(view, viewed{message: m, place: place, number: n})
		}
	}
	return view
}

// chosenLocked lists the messages a client means by a set.
func (s *Session) chosenLocked(set imap.NumSet) []viewed {
	view := s.viewLocked()
	in := among(set, view)
	return slices.DeleteFunc(view, func(v viewed) bool { return !in(v.number, v.uid) })
}

// Fetch answers FETCH. The answer is gathered under the lock and
// written without it, so that a client that stops reading stalls no other.
func (s *Session) Fetch(w *imapserver.FetchWriter, set imap.NumSet, options *imap.FetchOptions) error {
	markSeen := !s.readOnly && slices.ContainsFunc(options.BodySection, func(b *imap.FetchItemBodySection) bool { return !b.Peek })

	s.mailbox.mu.Lock()
	chosen := s.chosenLocked(set)
	for i := range chosen {
		v := &chosen[i]
		if markSeen && !v.message.flags[imap.FlagSeen] {
			v.message.flags[imap.FlagSeen] = true
			s.folder.tracker.QueueMessageFlags(v.place, v.uid, v.flagList(), nil)
		}
		v.flags = v.flagList()
	}
	if markSeen {
		s.folder.wakeIdlers()
	}
	s.mailbox.mu.Unlock()

	for _, v := range chosen {
		if err := s.tell(w.CreateMessage(v.number), v, options); err != nil {
			return err
		}
	}
	return nil
}

// tell writes one message's answer. It closes w, which holds the connection's lock.
func (s *Session) tell(w *imapserver.FetchResponseWriter, v viewed, options *imap.FetchOptions) error {
	w.WriteUID(v.uid)
	if options.Flags {
		w.WriteFlags(v.flags)
	}
	if options.InternalDate {
		w.WriteInternalDate(v.received)
	}
	if options.RFC822Size {
		w.WriteRFC822Size(int64(len(v.body)))
	}
	if options.Envelope {
		header, _ := textproto.ReadHeader(bufio.NewReader(bytes.NewReader(v.body)))
		w.WriteEnvelope(imapserver.ExtractEnvelope(header))
	}
	if options.BodyStructure != nil {
		w.WriteBodyStructure(sound(imapserver.ExtractBodyStructure(bytes.NewReader(v.body))))
	}
	for _, section := range options.BodySection {
		content := v.section(section)
		if s.beforeBody != nil {
			s.beforeBody(len(content))
		}
		literal := w.WriteBodySection(section, int64(len(content)))
		_, err := literal.Write(content)
		if closeErr := literal.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			w.Close()
			return err
		}
	}
	return w.Close()
}

// Search answers SEARCH: RFC 3501 §6.4.4. Text is sought in the bytes as they
// are, without decoding the body.
func (s *Session) Search(kind imapserver.NumKind, criteria *imap.SearchCriteria, _ *imap.SearchOptions) (*imap.SearchData, error) {
	s.mailbox.mu.Lock()
	defer s.mailbox.mu.Unlock()
	view := s.viewLocked()
	var data imap.SearchData
	var numbers imap.SeqSet
	var uids imap.UIDSet
	for i := range view {
		v := &view[i]
		if !v.matches(criteria, view) {
			continue
		}
		n := v.number
		if kind == imapserver.NumKindUID {
			n = uint32(v.uid)
		}
		numbers.AddNum(v.number)
		uids.AddNum(v.uid)
		if data.Count == 0 {
			data.Min = n
		}
		data.Max = n
		data.Count++
	}
	data.All = numbers
	if kind == imapserver.NumKindUID {
		data.All = uids
	}
	return &data, nil
}
