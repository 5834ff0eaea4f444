package mailstore

import (
	"bytes"
	"testing"

	"github.com/emersion/go-imap/v2"
)

func FuzzSplitMessage(f *testing.F) {
	for _, s := range []string{"", "\r\n", "a: b\r\n\r\nc", "a\n\nb", "x", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n--b--"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		head, text := SplitMessage(body)
		if !bytes.Equal(append(bytes.Clone(head), text...), body) {
			t.Error("header and text do not make the whole")
		}
		m := &message{body: body}
		for _, s := range []imap.PartSpecifier{imap.PartSpecifierNone, imap.PartSpecifierHeader, imap.PartSpecifierText, imap.PartSpecifierMIME} {
			m.section(&imap.FetchItemBodySection{Specifier: s})
			m.section(&imap.FetchItemBodySection{Specifier: s, Part: []int{1}, Partial: &imap.SectionPartial{Offset: 1, Size: 2}})
		}
		says(m, &imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "a"}}})
	})
}
