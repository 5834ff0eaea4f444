package mailstore

import (
	"bytes"
	"mime"
	"net/mail"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
)

// viewed is a message as one session sees it.
type viewed struct {
	*message
	place  uint32 // its number in the folder
	number uint32 // its number for this client, which does not know of every change
	flags  []imap.Flag
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
	return v.marked(c) && says(v.message, c)
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
func says(m *message, c *imap.SearchCriteria) bool {
	if len(c.Header) == 0 && len(c.Text) == 0 && len(c.Body) == 0 && c.SentSince.IsZero() && c.SentBefore.IsZero() {
		return true
	}
	head, text := SplitMessage(m.body)
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
