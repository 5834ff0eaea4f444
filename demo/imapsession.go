package demo

import (
	"io"
	"slices"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
)

// appendLimit is Gmail's APPENDLIMIT (RFC 7889).
const appendLimit = 35651584

var (
	errReadOnly = &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeNoPerm, Text: "Folder is read-only (Failure)"}
	errLoggedIn = &imap.Error{Type: imap.StatusResponseTypeBad, Text: "already authenticated"}
)

// imapSession is one client's session after its login.
type imapSession struct {
	account *account
	conn    *imapConn

	folder   *folder // nil: none is selected
	readOnly bool
	tracker  *imapserver.SessionTracker
}

var (
	_ imapserver.SessionIMAP4rev2   = (*imapSession)(nil)
	_ imapserver.SessionAppendLimit = (*imapSession)(nil)
)

// Login is never reached: the session begins with the login done.
func (s *imapSession) Login(string, string) error { return errLoggedIn }

// AppendLimit is what APPENDLIMIT advertises.
func (s *imapSession) AppendLimit() uint32 { return appendLimit }

// Close ends the session.
func (s *imapSession) Close() error {
	if s.folder != nil {
		s.tracker.Close()
	}
	return nil
}

// Select opens a folder.
func (s *imapSession) Select(name string, options *imap.SelectOptions) (*imap.SelectData, error) {
	s.account.mu.Lock()
	defer s.account.mu.Unlock()
	f := s.account.folderLocked(name)
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
func (s *imapSession) Unselect() error {
	s.tracker.Close()
	s.folder = nil
	return nil
}

// Append stores a message.
func (s *imapSession) Append(name string, r imap.LiteralReader, options *imap.AppendOptions) (*imap.AppendData, error) {
	body := make([]byte, r.Size())
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err
	}
	received := options.Time
	if received.IsZero() {
		received = time.Now()
	}
	s.account.mu.Lock()
	defer s.account.mu.Unlock()
	f := s.account.folderLocked(name)
	if f == nil {
		return nil, errTryCreate
	}
	return &imap.AppendData{UID: f.add(body, received, options.Flags), UIDValidity: f.validity}, nil
}

// Poll tells the client what has changed since it was last told.
func (s *imapSession) Poll(w *imapserver.UpdateWriter, allowExpunge bool) error {
	if s.folder == nil {
		return nil
	}
	return s.tracker.Poll(w, allowExpunge)
}

// Idle tells the client of changes as they happen. It does not leave that to
// the tracker's Idle, which imapserver starts after it has told the client
// "+ idling": a change between the two would wait for the next one.
func (s *imapSession) Idle(w *imapserver.UpdateWriter, stop <-chan struct{}) error {
	if s.folder == nil {
		<-stop
		return nil
	}
	for {
		s.account.mu.Lock()
		changed := s.folder.changed
		s.account.mu.Unlock()
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
func (s *imapSession) Expunge(_ *imapserver.ExpungeWriter, uids *imap.UIDSet) error {
	if s.readOnly {
		return errReadOnly
	}
	s.account.mu.Lock()
	defer s.account.mu.Unlock()
	meant := func(uint32, imap.UID) bool { return true }
	if uids != nil {
		meant = among(*uids, s.viewLocked())
	}
	s.folder.expunge(func(m *message) bool { return m.flags[imap.FlagDeleted] && meant(0, m.uid) })
	return nil
}

// Store changes flags.
func (s *imapSession) Store(w *imapserver.FetchWriter, set imap.NumSet, flags *imap.StoreFlags, _ *imap.StoreOptions) error {
	if s.readOnly {
		return errReadOnly
	}
	s.account.mu.Lock()
	for _, v := range s.chosenLocked(set) {
		v.store(flags)
		s.folder.tracker.QueueMessageFlags(v.place, v.uid, v.flagList(), s.tracker)
	}
	s.folder.wakeIdlers()
	s.account.mu.Unlock()
	if flags.Silent {
		return nil
	}
	return s.Fetch(w, set, &imap.FetchOptions{Flags: true})
}

func (m *message) store(flags *imap.StoreFlags) {
	if flags.Op == imap.StoreFlagsSet {
		clear(m.flags)
	}
	for _, flag := range flags.Flags {
		if flags.Op == imap.StoreFlagsDel {
			delete(m.flags, canonicalFlag(flag))
		} else {
			m.flags[canonicalFlag(flag)] = true
		}
	}
}

// Copy copies messages to another folder.
func (s *imapSession) Copy(set imap.NumSet, dest string) (*imap.CopyData, error) {
	s.account.mu.Lock()
	defer s.account.mu.Unlock()
	data, _, err := s.copyLocked(set, dest)
	return data, err
}

// copyLocked returns nil data if no message was meant: COPYUID cannot say "none".
func (s *imapSession) copyLocked(set imap.NumSet, dest string) (*imap.CopyData, []viewed, error) {
	to := s.account.folderLocked(dest)
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
func (s *imapSession) Move(w *imapserver.MoveWriter, set imap.NumSet, dest string) error {
	if s.readOnly {
		return errReadOnly
	}
	s.account.mu.Lock()
	data, chosen, err := s.copyLocked(set, dest)
	moved := make(map[imap.UID]bool, len(chosen))
	for _, v := range chosen {
		moved[v.uid] = true
	}
	if len(moved) > 0 {
		s.folder.expunge(func(m *message) bool { return moved[m.uid] })
	}
	s.account.mu.Unlock()
	if err != nil || data == nil {
		return err
	}
	return w.WriteCopyData(data)
}
