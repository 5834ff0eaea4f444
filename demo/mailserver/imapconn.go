package mailserver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"authferry/demo/eventlog"
	"authferry/demo/fault"
	"authferry/demo/mailstore"
)

// imapConn is a logged-in connection as imapserver is given it. It hides the
// greeting imapserver insists on, and answers the commands imapserver does not
// know or answers in words of its own: ID, CAPABILITY, LOGOUT.
//
// It gives imapserver no more than one line a Read, so that when imapserver
// asks for the next line it has answered all before: an answer written here
// cannot overtake one of imapserver's.
type imapConn struct {
	net.Conn
	c       *conn
	mailbox *mailstore.Mailbox
	ready   chan struct{} // closed when imapserver has begun
	done    chan struct{} // closed when imapserver is done
	once    sync.Once
	engine  *imapserver.Conn // set before ready

	// Only imapserver's own goroutine reads, and invites literals.
	line    []byte // the rest of a line, which imapserver has yet to read
	asked   int    // size of a literal that waits for imapserver's invitation
	literal int    // octets to pass on unread
	inside  bool   // the next line continues a command

	mu  sync.Mutex
	cut int // octets until the connection is cut; negative: no cut
}

// serve runs the session to its end.
func (t *imapTalk) serve(m *mailstore.Mailbox, life time.Duration) {
	s := &imapConn{Conn: t.Conn, c: t.conn, mailbox: m, ready: make(chan struct{}), done: make(chan struct{}), cut: -1}
	if !t.server.imapDoor.hand(s) {
		return
	}
	if life >= 0 {
		expiry := time.AfterFunc(life, s.bye)
		defer expiry.Stop()
	}
	t.inSession(&session{bye: s.bye})
	if t.fault() == fault.MailBye {
		s.bye()
	}
	<-s.done
}

// newIMAPEngine returns the server for sessions after their login.
func newIMAPEngine(server *Server) *imapserver.Server {
	return imapserver.New(&imapserver.Options{
		NewSession: func(engine *imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			s := engine.NetConn().(*imapConn)
			s.engine = engine
			close(s.ready)
			return mailstore.NewSession(s.mailbox, s.beforeBody), &imapserver.GreetingData{PreAuth: true}, nil
		},
		Caps: imap.CapSet{
			imap.CapIMAP4rev1: {}, imap.CapNamespace: {}, imap.CapUIDPlus: {}, imap.CapESearch: {},
			imap.CapListExtended: {}, imap.CapListStatus: {}, imap.CapMove: {}, imap.CapChildren: {}, imap.CapSpecialUse: {},
		},
		Logger: engineLog{server.options.Log, "imap"},
	})
}

// engineLog reports an engine's panics. Its reports on clients (they vanish, they
// send nonsense) are dropped: the log has them.
type engineLog struct {
	log      *eventlog.Log
	protocol string
}

func (l engineLog) Printf(format string, args ...any) {
	if strings.HasPrefix(format, "panic") {
		l.log.Printf("%s: %s", l.protocol, fmt.Sprintf(format, args...))
	}
}

func (l engineLog) Println(args ...any) {}

var errCut = errors.New("cut on purpose")

// byeTime is how long a client that does not read has to take the BYE.
const byeTime = time.Second

// bye ends the session with Gmail's words for an expired one.
func (s *imapConn) bye() {
	late := time.AfterFunc(byeTime, func() { s.c.raw.Close() })
	defer late.Stop()
	select {
	case <-s.ready:
		s.c.logf("the session of %s has expired", s.mailbox.Address())
		s.engine.Bye("Session expired, please login again.")
	case <-s.done:
	case <-s.c.server.closing:
	}
}

// Close ends the wait of the login's goroutine: imapserver is done.
func (s *imapConn) Close() error {
	s.once.Do(func() { close(s.done) })
	return s.Conn.Close()
}

// Read gives imapserver the rest of a line or of a literal.
func (s *imapConn) Read(p []byte) (int, error) {
	if s.literal > 0 {
		n, err := s.c.r.Read(p[:min(len(p), s.literal)])
		s.literal -= n
		return n, err
	}
	for len(s.line) == 0 {
		if err := s.nextLine(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.line)
	s.line = s.line[n:]
	return n, nil
}

// nextLine reads a line, and answers it if it is one of those answered here.
func (s *imapConn) nextLine() error {
	if s.asked > 0 { // imapserver refused the literal: a new command begins
		s.asked, s.inside = 0, false
	}
	line, err := s.c.readLine(imapLineLimit)
	if err != nil && err != errBareLF { // tolerated from here on
		return err
	}
	begins := !s.inside
	n, sync, ok := literalAtEnd(line)
	switch s.inside = ok; {
	case ok && sync:
		s.asked = n
	case ok:
		s.literal = n
	case begins:
		if answered, err := s.answer(line); answered {
			return err
		}
	}
	s.line = []byte(line + "\r\n")
	return nil
}

// answer answers as Gmail does where imapserver would not. LOGOUT ends the input.
func (s *imapConn) answer(line string) (answered bool, err error) {
	tag, rest, _ := strings.Cut(line, " ")
	name, _, _ := strings.Cut(rest, " ")
	switch strings.ToUpper(name) {
	case "ID":
		s.c.printf("* ID (\"name\" \"GImap\" \"vendor\" \"Google, Inc.\" \"support-url\" \"https://support.google.com/mail\" \"version\" \"gmail_imap_251215.06_p0\" \"remote-host\" \"%s\")\r\n%s OK Success\r\n",
			s.c.address(), tag)
	case "CAPABILITY":
		s.c.printf("* CAPABILITY %s\r\n%s OK Success\r\n", imapCaps(s.c.server), tag)
	case "LOGOUT":
		s.c.printf("* BYE LOGOUT Requested\r\n%s OK 73 good day (Success)\r\n", tag)
		return true, io.EOF
	default:
		return false, nil
	}
	return true, nil
}

// Write drops imapserver's greeting, notes its invitations, and cuts where a
// fault says so. imapserver flushes at the end of every line it writes.
func (s *imapConn) Write(p []byte) (int, error) {
	if bytes.HasPrefix(p, []byte("* PREAUTH ")) {
		return len(p), nil
	}
	if bytes.HasPrefix(p, []byte("+ ")) {
		s.literal, s.asked = s.asked, 0
	}
	s.mu.Lock()
	cut := s.cut
	if cut >= 0 {
		s.cut = max(cut-len(p), 0)
	}
	s.mu.Unlock()
	if cut < 0 || len(p) <= cut {
		return s.Conn.Write(p)
	}
	n, _ := s.Conn.Write(p[:cut])
	s.c.cut("in the middle of a message")
	return n, errCut
}

// beforeBody prepares a cut in the middle of a body where a fault says so.
func (s *imapConn) beforeBody(size int) {
	if s.c.fault() == fault.MailCutMessage {
		s.cutAfter(size / 2)
	}
}

// cutAfter cuts the connection when n more octets have been written.
func (s *imapConn) cutAfter(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = n
}
