package mailserver

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"authferry/demo/eventlog"
	"authferry/demo/fault"
	"authferry/demo/mailstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const alice = "alice@gmail.com"

func xoauth2(user, token string) string {
	return base64.StdEncoding.EncodeToString([]byte("user=" + user + "\x01auth=Bearer " + token + "\x01\x01"))
}

// oneToken accepts the token "fuzz" for alice.
type oneToken struct{}

func (oneToken) Authorize(token, mailbox string) (time.Time, error) {
	if token != "fuzz" || mailbox != alice {
		return time.Time{}, errors.New("the access token is unknown, expired or revoked")
	}
	return time.Now().Add(time.Hour), nil
}

func FuzzParseBearer(f *testing.F) {
	f.Add("XOAUTH2", xoauth2(alice, "t"))
	f.Add("OAUTHBEARER", base64.StdEncoding.EncodeToString([]byte("n,a=a=2Cb=3D@x,\x01auth=Bearer t\x01\x01")))
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

// The dialogue ends when the client ends, and nothing panics: before login, and
// after it in the connections that engines get.
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
		store := mailstore.New([]string{alice}, nil)
		store.Find(alice).Deliver("INBOX", []byte("Subject: x\r\n\r\n.y"))
		s := newServer(Options{Store: store, Faults: fault.New(), Log: eventlog.New(nil), Auth: oneToken{}, SessionLife: -1})
		defer s.Close()

		client := &script{in: bytes.NewReader(says)}
		c := &conn{Conn: client, raw: client, r: bufio.NewReader(client), server: s}
		switch protocol % 3 {
		case 0:
			c.protocol = "imap"
			talkIMAP(c)
		case 1:
			c.protocol = "pop3"
			talkPOP3(c)
		case 2:
			c.protocol = "smtp"
			c.raw = struct{ net.Conn }{client} // as on 465, where TLS is there from the start
			talkSMTP(c)
		}
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
