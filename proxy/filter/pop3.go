package filter

import (
	"bytes"
	"slices"
	"strings"
)

// readOnlyPOP3 keeps a client from marking messages as deleted. It refuses every
// command that is not known to change nothing: XTND XMIT would even send mail.
type readOnlyPOP3 struct {
	*session
	replies ordered
}

// readOnlyPOP3Commands change nothing (RFC 1939, RFC 2449, RFC 6856). The replies
// to some have several lines, always or without an argument.
var (
	readOnlyPOP3Commands = []string{"STAT", "LIST", "UIDL", "RETR", "TOP", "NOOP", "RSET", "LAST", "QUIT", "CAPA", "UTF8", "LANG"}
	multiline            = []string{"RETR", "TOP", "CAPA"}
	multilineWithout     = []string{"LIST", "UIDL", "LANG"}
)

func newReadOnlyPOP3(s *session) *readOnlyPOP3 {
	return &readOnlyPOP3{session: s, replies: ordered{session: s, last: lastPOP3}}
}

// FromClient is part of [relay.Filter].
func (f *readOnlyPOP3) FromClient(b []byte) error {
	for len(b) > 0 {
		line, long, rest, ok := f.readLine(b)
		if b = rest; !ok {
			break
		}
		if err := f.command(line, long); err != nil {
			return err
		}
	}
	return f.flush()
}

// FromProvider is part of [relay.Filter].
func (f *readOnlyPOP3) FromProvider(b []byte) ([]byte, error) { return f.replies.fromProvider(b) }

func (f *readOnlyPOP3) command(line string, long bool) error {
	words := strings.Fields(line)
	verb := ""
	if len(words) > 0 {
		verb = strings.ToUpper(words[0])
	}
	switch {
	case long:
		return f.replies.answer("-ERR line too long")
	case ambiguous(line):
		return f.replies.answer("-ERR a line break in a command")
	case verb == "DELE":
		return f.replies.answer("-ERR " + f.password + " is read-only: the message stays")
	case !slices.Contains(readOnlyPOP3Commands, verb):
		return f.replies.answer("-ERR " + f.password + " is read-only: this command is not allowed")
	}
	several := slices.Contains(multiline, verb) || slices.Contains(multilineWithout, verb) && len(words) == 1
	if err := f.replies.expect(reply{multiline: several}); err != nil {
		return err
	}
	f.forward(line)
	return nil
}

// lastPOP3 reports whether a line ends a reply: a positive one of several lines
// ends with a dot alone.
func lastPOP3(r *reply, line *partialLine, first bool) bool {
	if first {
		return !r.multiline || line.head[0] != '+'
	}
	return string(bytes.TrimRight(line.head, "\r\n")) == "." && line.size <= len(".\r\n")
}
