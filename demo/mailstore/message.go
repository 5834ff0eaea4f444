package mailstore

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
)

// message is one message of one folder; copies share the body.
type message struct {
	uid      imap.UID
	body     []byte // never changed
	received time.Time
	flags    map[imap.Flag]bool
}

// flagList returns a message's flags in a stable order.
func (m *message) flagList() []imap.Flag { return slices.Sorted(maps.Keys(m.flags)) }

// store applies a STORE command (RFC 3501 §6.4.6) to the flags.
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

// section extracts a part of a message. The whole, the header and the text are
// the very bytes that were stored; only within MIME parts is anything parsed.
func (m *message) section(section *imap.FetchItemBodySection) []byte {
	head, text := SplitMessage(m.body)
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

var systemFlags = []imap.Flag{
	imap.FlagAnswered, imap.FlagFlagged, imap.FlagDraft, imap.FlagDeleted, imap.FlagSeen,
	"$NotPhishing", imap.FlagPhishing,
}

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

// SplitMessage splits a message after the empty line that ends its header.
func SplitMessage(body []byte) (head, text []byte) {
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
