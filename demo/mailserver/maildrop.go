package mailserver

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/emersion/go-imap/v2"

	"authferry/demo/fault"
	"authferry/demo/mailstore"
)

// maildrop is an INBOX as one POP3 session sees it: a snapshot, from which
// messages are removed at QUIT (RFC 1939 §6).
type maildrop struct {
	*conn
	mailbox  *mailstore.Mailbox
	messages []*mailstore.InboxMessage // nil: marked for deletion
	all      []*mailstore.InboxMessage
	validity uint32
}

// serve serves the INBOX until the session ends.
func (t *pop3Talk) serve(m *mailstore.Mailbox) {
	d := &maildrop{conn: t.conn, mailbox: m}
	d.all, d.validity = m.Inbox()
	d.messages = slices.Clone(d.all)
	t.inSession(&session{bye: func() { t.raw.Close() }})
	if t.fault() == fault.MailBye {
		return
	}
	for d.command() {
	}
}

// command answers one command; false ends the session.
func (d *maildrop) command() bool {
	line, err := d.readLine(pop3LineLimit)
	if err != nil && err != errBareLF {
		return false
	}
	name, args, _ := strings.Cut(line, " ")
	name = strings.ToUpper(name)
	if d.fault() == fault.MailDisabled && name != "QUIT" {
		d.printf("%s\r\n", pop3Disabled)
		return true
	}
	switch name {
	case "STAT":
		n, size := d.stat()
		d.printf("+OK %d %d\r\n", n, size)
	case "LIST":
		d.listing(args, "message sizes follow", func(m *mailstore.InboxMessage) string { return strconv.Itoa(len(m.Body)) })
	case "UIDL":
		d.listing(args, "UIDs follow", func(m *mailstore.InboxMessage) string { return fmt.Sprintf("GmailId%08x%08x", d.validity, m.UID) })
	case "RETR":
		if i, ok := d.find(args); ok {
			return d.send(d.messages[i].Body)
		}
	case "TOP":
		number, lines, _ := strings.Cut(args, " ")
		if i, ok := d.find(number); ok {
			return d.top(d.messages[i], lines)
		}
	case "DELE":
		if i, ok := d.find(args); ok {
			d.messages[i] = nil
			d.printf("+OK\r\n")
		}
	case "RSET":
		copy(d.messages, d.all)
		d.printf("+OK\r\n")
	case "NOOP":
		d.printf("+OK\r\n")
	case "CAPA":
		d.printf("+OK Capability list follows\r\n%s\r\n.\r\n", pop3CapsAfter)
	case "QUIT":
		d.commit()
		d.printf("+OK Farewell.\r\n")
		return false
	case "LAST":
		d.printf("-ERR Not supported\r\n")
	default:
		d.printf("-ERR bad command\r\n")
	}
	return true
}

func (d *maildrop) stat() (n, size int) {
	for _, m := range d.messages {
		if m != nil {
			n++
			size += len(m.Body)
		}
	}
	return n, size
}

// listing answers LIST and UIDL, for one message or all.
func (d *maildrop) listing(number, title string, say func(*mailstore.InboxMessage) string) {
	if number != "" {
		if i, ok := d.find(number); ok {
			d.printf("+OK %d %s\r\n", i+1, say(d.messages[i]))
		}
		return
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "+OK %s\r\n", title)
	for i, m := range d.messages {
		if m != nil {
			fmt.Fprintf(&b, "%d %s\r\n", i+1, say(m))
		}
	}
	b.WriteString(".\r\n")
	d.Write(b.Bytes())
}

// find returns the index of a message by its number, or answers that there is none.
func (d *maildrop) find(number string) (int, bool) {
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > len(d.messages) || d.messages[n-1] == nil {
		d.printf("-ERR no such message\r\n")
		return 0, false
	}
	return n - 1, true
}

// top sends the header and so many lines of the text.
func (d *maildrop) top(m *mailstore.InboxMessage, lines string) bool {
	n, err := strconv.Atoi(lines)
	if err != nil || n < 0 {
		d.printf("-ERR malformed command\r\n")
		return true
	}
	head, text := mailstore.SplitMessage(m.Body)
	end := 0
	for ; n > 0 && end < len(text); n-- {
		if i := bytes.IndexByte(text[end:], '\n'); i >= 0 {
			end += i + 1
		} else {
			end = len(text)
		}
	}
	return d.send(m.Body[:len(head)+end])
}

// send sends a message, its dots stuffed (RFC 1939 §3).
func (d *maildrop) send(body []byte) bool {
	d.printf("+OK message follows\r\n")
	out := stuff(body)
	if d.fault() == fault.MailCutMessage {
		d.Write(out[:len(out)/2])
		d.cut("in the middle of a message")
		return false
	}
	_, err := d.Write(out)
	return err == nil
}

// stuff doubles the dots at the beginnings of lines, ends the last line, and
// ends the whole.
func stuff(body []byte) []byte {
	var b bytes.Buffer
	b.Grow(len(body) + len(body)/64 + 8)
	for line := range bytes.Lines(body) {
		if line[0] == '.' {
			b.WriteByte('.')
		}
		b.Write(line)
	}
	if len(body) > 0 && body[len(body)-1] != '\n' {
		b.WriteString("\r\n")
	}
	b.WriteString(".\r\n")
	return b.Bytes()
}

// commit removes the messages marked for deletion.
func (d *maildrop) commit() {
	marked := make(map[imap.UID]bool)
	for i, m := range d.messages {
		if m == nil {
			marked[d.all[i].UID] = true
		}
	}
	if len(marked) == 0 {
		return
	}
	d.mailbox.RemoveFromInbox(marked)
	d.logf("%d messages deleted from the INBOX of %s", len(marked), d.mailbox.Address())
}
