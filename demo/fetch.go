package demo

import (
	"bufio"
	"bytes"
	"slices"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-message/textproto"
)

// viewed is a message as one session sees it.
type viewed struct {
	*message
	place  uint32 // its number in the folder
	number uint32 // its number for this client, who has not heard of every change
	flags  []imap.Flag
}

// viewLocked lists the messages this client knows of.
func (s *imapSession) viewLocked() []viewed {
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
func (s *imapSession) chosenLocked(set imap.NumSet) []viewed {
	view := s.viewLocked()
	in := among(set, view)
	return slices.DeleteFunc(view, func(v viewed) bool { return !in(v.number, v.uid) })
}

// among returns the test for a set, in which "*" is the last message of the
// view (RFC 3501 §9, seq-number).
func among(set imap.NumSet, view []viewed) func(number uint32, uid imap.UID) bool {
	var last viewed
	if len(view) > 0 {
		last = view[len(view)-1]
	} else {
		last = viewed{message: &message{}}
	}
	within := func(start, stop, last, n uint32) bool {
		if start == 0 {
			start = last
		}
		if stop == 0 {
			stop = last
		}
		return min(start, stop) <= n && n <= max(start, stop)
	}
	switch set := set.(type) {
	case imap.SeqSet:
		return func(number uint32, _ imap.UID) bool {
			return slices.ContainsFunc(set, func(r imap.SeqRange) bool { return within(r.Start, r.Stop, last.number, number) })
		}
	case imap.UIDSet:
		if !set.Dynamic() { // sorted, and may be long
			return func(_ uint32, uid imap.UID) bool { return set.Contains(uid) }
		}
		return func(_ uint32, uid imap.UID) bool {
			return slices.ContainsFunc(set, func(r imap.UIDRange) bool {
				return within(uint32(r.Start), uint32(r.Stop), uint32(last.uid), uint32(uid))
			})
		}
	}
	return func(uint32, imap.UID) bool { return false }
}

// Fetch answers FETCH. What is to be told is gathered under the lock and
// written without it, so that a client that stops reading stalls nobody else.
func (s *imapSession) Fetch(w *imapserver.FetchWriter, set imap.NumSet, options *imap.FetchOptions) error {
	markSeen := !s.readOnly && slices.ContainsFunc(options.BodySection, func(b *imap.FetchItemBodySection) bool { return !b.Peek })

	s.account.mu.Lock()
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
	s.account.mu.Unlock()

	for _, v := range chosen {
		if err := s.tell(w.CreateMessage(v.number), v, options); err != nil {
			return err
		}
	}
	return nil
}

// tell writes one message's answer. It closes w, which holds the connection's lock.
func (s *imapSession) tell(w *imapserver.FetchResponseWriter, v viewed, options *imap.FetchOptions) error {
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
		if s.conn.c.fault() == MailCutMessage {
			s.conn.cutAfter(len(content) / 2)
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

// section extracts a part of a message. The whole, the header and the text are
// the very bytes that were stored; only within MIME parts is anything parsed.
func (m *message) section(section *imap.FetchItemBodySection) []byte {
	head, text := splitMessage(m.body)
	var content []byte
	switch {
	case len(section.Part) > 0 || len(section.HeaderFields) > 0 || len(section.HeaderFieldsNot) > 0:
		return imapserver.ExtractBodySection(bytes.NewReader(m.body), section)
	case section.Specifier == imap.PartSpecifierNone:
		content = m.body
	case section.Specifier == imap.PartSpecifierText:
		content = text
	default:
		content = head
	}
	if p := section.Partial; p != nil {
		start := min(max(p.Offset, 0), int64(len(content)))
		content = content[start:]
		content = content[:min(max(p.Size, 0), int64(len(content)))]
	}
	return content
}

// splitMessage parts a message behind the empty line that ends its header.
func splitMessage(body []byte) (head, text []byte) {
	if bytes.HasPrefix(body, []byte("\r\n")) {
		return body[:2], body[2:]
	}
	if i := bytes.Index(body, []byte("\r\n\r\n")); i >= 0 {
		return body[:i+4], body[i+4:]
	}
	if i := bytes.Index(body, []byte("\n\n")); i >= 0 {
		return body[:i+2], body[i+2:]
	}
	return body, nil
}

// sound replaces what imapserver panics over: a multipart without parts, as a
// message cut short has.
func sound(b imap.BodyStructure) imap.BodyStructure {
	switch b := b.(type) {
	case *imap.BodyStructureMultiPart:
		if len(b.Children) == 0 {
			return &imap.BodyStructureSinglePart{
				Type: "text", Subtype: "plain", Text: &imap.BodyStructureText{}, Extended: &imap.BodyStructureSinglePartExt{},
			}
		}
		for i := range b.Children {
			b.Children[i] = sound(b.Children[i])
		}
	case *imap.BodyStructureSinglePart:
		if b.MessageRFC822 != nil {
			b.MessageRFC822.BodyStructure = sound(b.MessageRFC822.BodyStructure)
		}
	}
	return b
}
