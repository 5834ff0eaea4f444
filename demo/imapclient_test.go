package demo

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
)

// imapClient is go-imap's client, logged in as alice.
func imapClient(t *testing.T, p *Provider, handler *imapclient.UnilateralDataHandler) *imapclient.Client {
	t.Helper()
	c, err := imapclient.DialTLS(p.IMAP, &imapclient.Options{
		TLSConfig:             &tls.Config{RootCAs: p.CAs},
		UnilateralDataHandler: handler,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	var client sasl.Client = &xoauth2Client{user: alice, token: connect(t, p, alice).AccessToken}
	if err := c.Authenticate(client); err != nil {
		t.Fatal(err)
	}
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// appendMessage stores a message by APPEND.
func appendMessage(t *testing.T, c *imapclient.Client, folder string, message []byte, options *imap.AppendOptions) *imap.AppendData {
	t.Helper()
	cmd := c.Append(folder, int64(len(message)), options)
	_, err := cmd.Write(message)
	must(t, err)
	must(t, cmd.Close())
	data, err := cmd.Wait()
	must(t, err)
	return data
}

func fetchBody(t *testing.T, c *imapclient.Client, uid imap.UID, section *imap.FetchItemBodySection) []byte {
	t.Helper()
	m, err := c.Fetch(imap.UIDSetNum(uid), &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{section}}).Collect()
	must(t, err)
	if len(m) != 1 || len(m[0].BodySection) != 1 {
		t.Fatalf("%d messages", len(m))
	}
	return m[0].BodySection[0].Bytes
}

func TestIMAPFolders(t *testing.T) {
	p := start(t, Options{})
	c := imapClient(t, p, nil)
	got := func(options *imap.ListOptions) []string {
		t.Helper()
		list, err := c.List("", "*", options).Collect()
		must(t, err)
		var lines []string
		for _, l := range list {
			line := fmt.Sprint(l.Mailbox, l.Attrs)
			if l.Status != nil {
				line += fmt.Sprint(" ", *l.Status.NumMessages)
			}
			lines = append(lines, line)
		}
		return lines
	}
	want := []string{
		`INBOX[\HasNoChildren]`,
		`[Gmail][\HasChildren \Noselect]`,
		`[Gmail]/All Mail[\All \HasNoChildren]`,
		`[Gmail]/Drafts[\Drafts \HasNoChildren]`,
		`[Gmail]/Important[\Important \HasNoChildren]`,
		`[Gmail]/Sent Mail[\Sent \HasNoChildren]`,
		`[Gmail]/Spam[\Junk \HasNoChildren]`,
		`[Gmail]/Starred[\Flagged \HasNoChildren]`,
		`[Gmail]/Trash[\Trash \HasNoChildren]`,
	}
	if lines := got(nil); !slices.Equal(lines, want) {
		t.Errorf("got %q\nwant %q", lines, want)
	}
	if lines := got(&imap.ListOptions{SelectSpecialUse: true}); !slices.Equal(lines, want[2:]) {
		t.Errorf("special use: %q", lines)
	}

	must(t, c.Create("Żółw/Ęą", nil).Wait())
	must(t, c.Subscribe("Żółw/Ęą").Wait())
	appendMessage(t, c, "Żółw/Ęą", []byte("Subject: x\r\n\r\n"), nil)
	must(t, c.Rename("Żółw", "Turtle", nil).Wait())
	if lines := got(&imap.ListOptions{SelectSubscribed: true, ReturnStatus: &imap.StatusOptions{NumMessages: true}}); len(lines) != 10 || lines[1] != `Turtle/Ęą[\HasNoChildren \Subscribed] 1` {
		t.Errorf("subscribed: %q", lines)
	}
	must(t, c.Unsubscribe("Turtle/Ęą").Wait())
	if lines := got(&imap.ListOptions{SelectSubscribed: true}); len(lines) != 9 {
		t.Errorf("still subscribed: %q", lines)
	}
	must(t, c.Delete("Turtle/Ęą").Wait())
	for name, err := range map[string]error{
		"create twice":   c.Create("Turtle", nil).Wait(),
		"delete INBOX":   c.Delete("inbox").Wait(),
		"delete Trash":   c.Delete("[Gmail]/Trash").Wait(),
		"rename Trash":   c.Rename("[Gmail]/Trash", "Bin", nil).Wait(),
		"delete nothing": c.Delete("Nothing").Wait(),
	} {
		if err == nil {
			t.Errorf("%s went through", name)
		}
	}
	if _, err := c.Select("[Gmail]", nil).Wait(); err == nil {
		t.Error("a folder that holds no messages was selected")
	}
	ns, err := c.Namespace().Wait()
	must(t, err)
	if len(ns.Personal) != 1 || ns.Personal[0] != (imap.NamespaceDescriptor{Delim: '/'}) || ns.Other != nil || ns.Shared != nil {
		t.Errorf("namespace %+v", ns)
	}
}

// Whatever a message looks like, FETCH must bring the bytes APPEND took.
func TestIMAPKeepsEveryByte(t *testing.T) {
	p := start(t, Options{})
	c := imapClient(t, p, nil)
	_, err := c.Select("INBOX", nil).Wait()
	must(t, err)
	random := make([]byte, 100_000)
	rand.NewChaCha8([32]byte{1}).Read(random)
	for _, m := range []string{
		"Subject: plain\r\n\r\nbody\r\n",
		"",
		"\r\n",
		"no header at all",
		"Subject: bare LF\n\nbody\n",
		" leading space\r\n\r\nx",
		"Subject: dots\r\n\r\n.\r\n..\r\na OK FETCH completed\r\n* 1 EXISTS\r\n",
		"Subject: long\r\n\r\n" + strings.Repeat("x", 70_000),
		"X: " + strings.Repeat("y", 70_000) + "\r\n\r\n",
		"Content-Type: multipart/mixed; boundary=b\r\n\r\nno part\r\n",
		string(random),
	} {
		uid := appendMessage(t, c, "INBOX", []byte(m), nil).UID
		if got := fetchBody(t, c, uid, &imap.FetchItemBodySection{}); string(got) != m {
			t.Errorf("%.40q came back as %.40q, %d octets of %d", m, got, len(got), len(m))
		}
		head := fetchBody(t, c, uid, &imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader})
		text := fetchBody(t, c, uid, &imap.FetchItemBodySection{Specifier: imap.PartSpecifierText})
		if string(head)+string(text) != m {
			t.Errorf("%.40q: header and text do not make the whole", m)
		}
		if _, err := c.Fetch(imap.UIDSetNum(uid), &imap.FetchOptions{
			Envelope: true, BodyStructure: &imap.FetchItemBodyStructure{Extended: true}, RFC822Size: true,
		}).Collect(); err != nil {
			t.Errorf("%.40q: %v", m, err)
		}
	}
}

func TestIMAPBigMessage(t *testing.T) {
	p := start(t, Options{})
	c := imapClient(t, p, nil)
	message := make([]byte, 30<<20)
	rand.NewChaCha8([32]byte{2}).Read(message)
	copy(message, "Subject: big\r\n\r\n")
	uid := appendMessage(t, c, "INBOX", message, nil).UID
	_, err := c.Select("INBOX", nil).Wait()
	must(t, err)
	if got := fetchBody(t, c, uid, &imap.FetchItemBodySection{Peek: true}); !bytes.Equal(got, message) {
		t.Errorf("%d octets of %d", len(got), len(message))
	}
	part := fetchBody(t, c, uid, &imap.FetchItemBodySection{Partial: &imap.SectionPartial{Offset: 30<<20 - 5, Size: 100}})
	if !bytes.Equal(part, message[30<<20-5:]) {
		t.Errorf("the last octets: %x", part)
	}
	if stored, _ := p.Messages(alice, "INBOX"); !bytes.Equal(stored[0], message) {
		t.Error("not stored as it was sent")
	}
}

func TestIMAPFlagsCopyMoveExpunge(t *testing.T) {
	p := start(t, Options{})
	c := imapClient(t, p, nil)
	for i := range 5 {
		appendMessage(t, c, "INBOX", fmt.Appendf(nil, "Subject: %d\r\n\r\n", i), &imap.AppendOptions{Flags: []imap.Flag{`\seen`, "Work"}})
	}
	_, err := c.Select("INBOX", nil).Wait()
	must(t, err)
	stored, err := c.Store(imap.SeqSetNum(2, 4), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Collect()
	must(t, err)
	if len(stored) != 2 || !slices.Equal(stored[0].Flags, []imap.Flag{"Work", imap.FlagDeleted, imap.FlagSeen}) {
		t.Errorf("stored %+v", stored)
	}
	gone, err := c.Expunge().Collect()
	must(t, err)
	if !slices.Equal(gone, []uint32{4, 2}) {
		t.Errorf("expunged %v", gone)
	}
	copied, err := c.Copy(imap.UIDSetNum(1, 3), "[Gmail]/Starred").Wait()
	must(t, err)
	if copied.SourceUIDs.String() != "1,3" || copied.DestUIDs.String() != "1:2" {
		t.Errorf("copied %+v", copied)
	}
	moved, err := c.Move(imap.SeqSetNum(3), "[Gmail]/Trash").Wait()
	must(t, err)
	if moved.SourceUIDs.String() != "5" {
		t.Errorf("moved %+v", moved)
	}
	if _, err := c.Copy(imap.UIDSetNum(1), "Nowhere").Wait(); err == nil || !strings.Contains(err.Error(), "TRYCREATE") {
		t.Errorf("copied to nowhere: %v", err)
	}
	for folder, want := range map[string]int{"INBOX": 2, "[Gmail]/Starred": 2, "[Gmail]/Trash": 1} {
		if got, _ := p.Messages(alice, folder); len(got) != want {
			t.Errorf("%s holds %d", folder, len(got))
		}
	}

	must(t, c.Store(imap.SeqSet{{Start: 1, Stop: 0}}, &imap.StoreFlags{Op: imap.StoreFlagsSet, Silent: true, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close())
	gone, err = c.UIDExpunge(imap.UIDSet{{Start: 3, Stop: 0}}).Collect()
	must(t, err)
	if !slices.Equal(gone, []uint32{2}) {
		t.Errorf("expunged %v by UID", gone)
	}
	must(t, c.Store(imap.SeqSetNum(1), &imap.StoreFlags{Op: imap.StoreFlagsDel, Silent: true, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close())
	status, err := c.Status("INBOX", &imap.StatusOptions{NumMessages: true, NumUnseen: true, UIDNext: true, UIDValidity: true}).Wait()
	must(t, err)
	if *status.NumMessages != 1 || *status.NumUnseen != 1 || status.UIDNext != 6 || status.UIDValidity != 1 {
		t.Errorf("status %+v", status)
	}

	_, err = c.Select("INBOX", &imap.SelectOptions{ReadOnly: true}).Wait()
	must(t, err)
	if err := c.Store(imap.SeqSetNum(1), &imap.StoreFlags{Flags: []imap.Flag{imap.FlagFlagged}}, nil).Close(); err == nil {
		t.Error("flags were stored in a folder opened to be read")
	}
	must(t, c.Logout().Wait())
}

func TestIMAPSearch(t *testing.T) {
	p := start(t, Options{})
	c := imapClient(t, p, nil)
	day := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	for i, m := range []string{
		"Subject: =?utf-8?q?=C5=BB=C3=B3=C5=82w?=\r\nDate: Wed, 04 Mar 2026 12:00:00 +0000\r\n\r\nTurtle soup\r\n",
		"Subject: other\r\nMessage-ID: <two@x>\r\nDate: Thu, 05 Mar 2026 12:00:00 +0000\r\n\r\nnothing\r\n",
		"not a header",
	} {
		appendMessage(t, c, "INBOX", []byte(m), &imap.AppendOptions{Time: day.AddDate(0, 0, i), Flags: []imap.Flag{imap.FlagSeen}[:i%2]})
	}
	_, err := c.Select("INBOX", nil).Wait()
	must(t, err)
	for name, s := range map[string]struct {
		criteria imap.SearchCriteria
		want     string
	}{
		"all":         {imap.SearchCriteria{}, "1:3"},
		"header":      {imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "message-id", Value: "TWO@x"}}}, "2"},
		"encoded":     {imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Subject", Value: "żółw"}}}, "1"},
		"body":        {imap.SearchCriteria{Body: []string{"turtle"}}, "1"},
		"text":        {imap.SearchCriteria{Text: []string{"other"}}, "2"},
		"seen":        {imap.SearchCriteria{Flag: []imap.Flag{imap.FlagSeen}}, "2"},
		"unseen":      {imap.SearchCriteria{NotFlag: []imap.Flag{imap.FlagSeen}}, "1,3"},
		"since":       {imap.SearchCriteria{Since: day.AddDate(0, 0, 1)}, "2:3"},
		"before":      {imap.SearchCriteria{Before: day.AddDate(0, 0, 1)}, "1"},
		"sent":        {imap.SearchCriteria{SentSince: day.AddDate(0, 0, 1)}, "2"},
		"small":       {imap.SearchCriteria{Smaller: 20}, "3"},
		"large":       {imap.SearchCriteria{Larger: 20}, "1:2"},
		"not":         {imap.SearchCriteria{Not: []imap.SearchCriteria{{Flag: []imap.Flag{imap.FlagSeen}}}}, "1,3"},
		"or":          {imap.SearchCriteria{Or: [][2]imap.SearchCriteria{{{Smaller: 20}, {Body: []string{"turtle"}}}}}, "1,3"},
		"UID":         {imap.SearchCriteria{UID: []imap.UIDSet{imap.UIDSetNum(2, 9)}}, "2"},
		"the last":    {imap.SearchCriteria{UID: []imap.UIDSet{{{Start: 0, Stop: 0}}}}, "3"},
		"beyond last": {imap.SearchCriteria{UID: []imap.UIDSet{{{Start: 100, Stop: 0}}}}, "3"},
		"numbers":     {imap.SearchCriteria{SeqNum: []imap.SeqSet{{{Start: 2, Stop: 0}}}}, "2:3"},
		"none":        {imap.SearchCriteria{Body: []string{"unicorn"}}, ""},
	} {
		data, err := c.UIDSearch(&s.criteria, nil).Wait()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := imap.UIDSetNum(data.AllUIDs()...).String(); got != s.want {
			t.Errorf("%s: found %q, want %q", name, got, s.want)
		}
	}
	data, err := c.Search(&imap.SearchCriteria{}, &imap.SearchOptions{ReturnMin: true, ReturnMax: true, ReturnCount: true}).Wait()
	must(t, err)
	if data.Min != 1 || data.Max != 3 || data.Count != 3 {
		t.Errorf("%+v", data)
	}
}

func TestIMAPManyMessages(t *testing.T) {
	p := start(t, Options{})
	const many = 20_000
	for i := range many {
		p.Deliver(alice, fmt.Appendf(nil, "Subject: %d\r\n\r\n", i))
	}
	c := imapClient(t, p, nil)
	selected, err := c.Select("INBOX", nil).Wait()
	must(t, err)
	if selected.NumMessages != many {
		t.Errorf("%d messages", selected.NumMessages)
	}
	messages, err := c.Fetch(imap.SeqSet{{Start: 1, Stop: 0}}, &imap.FetchOptions{Flags: true, RFC822Size: true}).Collect()
	must(t, err)
	if len(messages) != many || messages[many-1].UID != many {
		t.Errorf("fetched %d", len(messages))
	}
}

// A client that stops reading must not stall the others of its mailbox.
func TestIMAPStalledReaderStallsNobody(t *testing.T) {
	p := start(t, Options{})
	p.Deliver(alice, bytes.Repeat([]byte("0123456789abcde\n"), 2<<20))
	stalled := dial(t, p, p.IMAP)
	stalled.talk(imapLogin+"\nC: b SELECT INBOX", xoauth2(alice, connect(t, p, alice).AccessToken))
	for !strings.HasPrefix(stalled.expect("<*>"), "b OK") {
	}
	stalled.talk("C: c FETCH 1 BODY[]\nS: * 1 FETCH (UID 1 BODY[] {33554432}")

	told := make(chan uint32, 1)
	c := imapClient(t, p, &imapclient.UnilateralDataHandler{Mailbox: func(data *imapclient.UnilateralDataMailbox) {
		if data.NumMessages != nil {
			told <- *data.NumMessages
		}
	}})
	_, err := c.Select("INBOX", nil).Wait()
	must(t, err)
	idle, err := c.Idle()
	must(t, err)
	p.Deliver(alice, []byte("Subject: news\r\n\r\n"))
	if n := <-told; n != 2 {
		t.Errorf("told of %d messages", n)
	}
	must(t, idle.Close())
	must(t, idle.Wait())
}
