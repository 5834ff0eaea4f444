package demo

import (
	"bytes"
	"mime"
	"net/mail"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
)

// Search answers SEARCH: RFC 3501 §6.4.4. Text is sought in the bytes as they
// are, without decoding the body.
func (s *imapSession) Search(kind imapserver.NumKind, criteria *imap.SearchCriteria, _ *imap.SearchOptions) (*imap.SearchData, error) {
	s.account.mu.Lock()
	defer s.account.mu.Unlock()
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

func (v *viewed) matches(c *imap.SearchCriteria, view []viewed) bool {
	for _, set := range c.SeqNum {
		if !among(set, view)(v.number, v.uid) {
			return false
		}
	}
	for _, set := range c.UID {
		if !among(set, view)(v.number, v.uid) {
			return false
		}
	}
	for _, not := range c.Not {
		if v.matches(&not, view) {
			return false
		}
	}
	for _, or := range c.Or {
		if !v.matches(&or[0], view) && !v.matches(&or[1], view) {
			return false
		}
	}
	return v.marked(c) && v.says(c)
}

// marked tests what is known without looking into the message.
func (v *viewed) marked(c *imap.SearchCriteria) bool {
	has := func(flag imap.Flag) bool { return v.message.flags[canonicalFlag(flag)] }
	size := int64(len(v.body))
	switch {
	case !between(v.received, c.Since, c.Before),
		c.Larger != 0 && size <= c.Larger,
		c.Smaller != 0 && size >= c.Smaller,
		slices.ContainsFunc(c.NotFlag, has):
		return false
	}
	return !slices.ContainsFunc(c.Flag, func(f imap.Flag) bool { return !has(f) })
}

// says tests what the message says.
func (m *message) says(c *imap.SearchCriteria) bool {
	if len(c.Header) == 0 && len(c.Text) == 0 && len(c.Body) == 0 && c.SentSince.IsZero() && c.SentBefore.IsZero() {
		return true
	}
	head, text := splitMessage(m.body)
	if !c.SentSince.IsZero() || !c.SentBefore.IsZero() || len(c.Header) > 0 {
		parsed, err := mail.ReadMessage(bytes.NewReader(head))
		if err != nil || !headerSays(parsed.Header, c) {
			return false
		}
	}
	lacks := func(in []byte) func(string) bool {
		in = bytes.ToLower(in)
		return func(s string) bool { return !bytes.Contains(in, []byte(strings.ToLower(s))) }
	}
	return !slices.ContainsFunc(c.Body, lacks(text)) && !slices.ContainsFunc(c.Text, lacks(m.body))
}

func headerSays(h mail.Header, c *imap.SearchCriteria) bool {
	if !c.SentSince.IsZero() || !c.SentBefore.IsZero() {
		sent, err := h.Date()
		if err != nil || !between(sent, c.SentSince, c.SentBefore) {
			return false
		}
	}
	for _, field := range c.Header {
		has := false
		for key, values := range h {
			has = has || strings.EqualFold(key, field.Key) && slices.ContainsFunc(values, func(value string) bool {
				if plain, err := new(mime.WordDecoder).DecodeHeader(value); err == nil {
					value = plain
				}
				return strings.Contains(strings.ToLower(value), strings.ToLower(field.Value))
			})
		}
		if !has {
			return false
		}
	}
	return true
}

// between compares days without regard to time zones, as RFC 3501 §6.4.4 has it.
func between(t, since, before time.Time) bool {
	day := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	return (since.IsZero() || !day.Before(since)) && (before.IsZero() || day.Before(before))
}
