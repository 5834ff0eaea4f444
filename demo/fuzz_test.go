package demo

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
)

func FuzzParseBearer(f *testing.F) {
	f.Add("XOAUTH2", xoauth2(alice, "t"))
	f.Add("OAUTHBEARER", oauthBearer("a=2Cb=3D@x", "t"))
	f.Add("XOAUTH2", "=")
	f.Add("XOAUTH2", "AQE=")
	f.Add("OAUTHBEARER", "AQ==")
	f.Fuzz(func(t *testing.T, mechanism, encoded string) {
		c, err := parseBearer(mechanism, encoded)
		if err != nil && c != (credentials{}) {
			t.Errorf("credentials beside an error")
		}
		if strings.Contains(c.token, "\x01") {
			t.Errorf("a token runs on into the next field: %q", c.token)
		}
	})
}

// script is a connection to a client that says its lines and hangs up.
type script struct{ in io.Reader }

func (s *script) Read(p []byte) (int, error)       { return s.in.Read(p) }
func (s *script) Write(p []byte) (int, error)      { return len(p), nil }
func (s *script) Close() error                     { return nil }
func (s *script) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *script) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// Whatever a client says, the dialogue ends when the client does, and nothing
// panics: before login, and behind it in the connections that engines are given.
func FuzzDialogue(f *testing.F) {
	login := xoauth2(alice, "fuzz")
	for protocol, says := range [][]string{
		{
			"a CAPABILITY\r\nb ID NIL\r\nc LOGIN {5}\r\nalice {3+}\r\nfoo\r\nd LOGOUT\r\n",
			"a AUTHENTICATE XOAUTH2 " + login + "\r\nb SELECT INBOX\r\nc APPEND INBOX {3}\r\nabc\r\nd FETCH 1:* (BODY[] ENVELOPE BODYSTRUCTURE)\r\ne IDLE\r\nDONE\r\nf UID MOVE 1 Trash\r\ng LOGOUT\r\n",
			"a AUTHENTICATE XOAUTH2 " + login + "\r\nb APPEND INBOX {99999999}\r\nc ID NIL\r\nd UID SEARCH OR 1 *:5 HEADER Subject x\r\n",
			"a AUTHENTICATE OAUTHBEARER\r\n*\r\n",
		},
		{
			"CAPA\r\nUSER x\r\nPASS y\r\nAUTH\r\nAUTH PLAIN\r\nAA==\r\nQUIT\r\n",
			"AUTH XOAUTH2 " + login + "\r\nSTAT\r\nLIST\r\nUIDL 1\r\nRETR 1\r\nTOP 1 0\r\nDELE 1\r\nRSET\r\nQUIT\r\n",
		},
		{
			"EHLO x\r\nAUTH LOGIN\r\nYQ==\r\nYg==\r\nMAIL FROM:<a@b>\r\nQUIT\r\n",
			"EHLO x\r\nAUTH XOAUTH2 " + login + "\r\nMAIL FROM:<alice@gmail.com>\r\nRCPT TO:<alice@gmail.com>\r\nDATA\r\nx\r\n.\r\nEHLO y\r\nRSET\r\nBDAT 3 LAST\r\nQUIT\r\n",
		},
	} {
		for _, s := range says {
			f.Add(byte(protocol), []byte(s))
		}
	}
	f.Fuzz(func(t *testing.T, protocol byte, says []byte) {
		p := newProvider(Options{Mailboxes: []string{alice}, SessionLife: -1})
		p.Faults.changed = p.faultChanged
		p.startEngines()
		defer p.Close()
		p.accounts[alice].deliver("INBOX", []byte("Subject: x\r\n\r\n.y"))
		p.grants.access["fuzz"] = &accessToken{grant: &grant{mailbox: alice, scope: gmailScope}, expires: time.Now().Add(time.Hour)}

		server := &script{in: bytes.NewReader(says)}
		c := &conn{Conn: server, raw: server, r: bufio.NewReader(server), p: p}
		var talk func()
		switch protocol % 3 {
		case 0:
			c.protocol, talk = "imap", c.imap
		case 1:
			c.protocol, talk = "pop3", c.pop3
		case 2:
			c.protocol = "smtp"
			talk = func() { // as on 465, where TLS is there from the start
				c.raw = struct{ net.Conn }{server}
				c.smtp()
			}
		}
		talk()
	})
}

func FuzzSplitMessage(f *testing.F) {
	for _, s := range []string{"", "\r\n", "a: b\r\n\r\nc", "a\n\nb", "x", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n--b--"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		head, text := splitMessage(body)
		if !bytes.Equal(append(bytes.Clone(head), text...), body) {
			t.Error("header and text do not make the whole")
		}
		m := &message{body: body}
		for _, s := range []imap.PartSpecifier{imap.PartSpecifierNone, imap.PartSpecifierHeader, imap.PartSpecifierText, imap.PartSpecifierMIME} {
			m.section(&imap.FetchItemBodySection{Specifier: s})
			m.section(&imap.FetchItemBodySection{Specifier: s, Part: []int{1}, Partial: &imap.SectionPartial{Offset: 1, Size: 2}})
		}
		m.says(&imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "a"}}})
	})
}

// What is stuffed must come out of a reader that unstuffs. Its lines end in
// CRLF, as POP3's do: over others net/textproto stumbles.
func FuzzStuff(f *testing.F) {
	for _, s := range []string{"", ".", "..\r\n.\r\n", "a\r\n.b", "a\n.\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		body = bytes.ReplaceAll(bytes.ReplaceAll(body, []byte("\r"), nil), []byte("\n"), []byte("\r\n"))
		got, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(stuff(body)))).ReadDotBytes()
		if err != nil {
			t.Fatal(err)
		}
		want := strings.ReplaceAll(string(body), "\r\n", "\n") // as textproto has it
		if len(want) > 0 && !strings.HasSuffix(want, "\n") {
			want += "\n"
		}
		if string(got) != want {
			t.Errorf("%q came out as %q", body, got)
		}
	})
}

func FuzzReadAssertion(f *testing.F) {
	f.Add("e30.e30.")
	f.Add("eyJhbGciOiJub25lIn0.eyJleHAiOjFlMzA5fQ.AA")
	f.Add(signJWT(idTokenKey(), "k", map[string]any{"iss": "a", "exp": 1e300, "iat": -1}))
	f.Fuzz(func(t *testing.T, compact string) {
		a, err := readAssertion(compact)
		if err != nil {
			return
		}
		if a.signedBy(&serviceAccountKey().PublicKey, "RS256", "PS256") {
			t.Error("somebody else's signature holds")
		}
		a.timely(a.claims.Iat, time.Now())
	})
}
