package filter

import (
	"bytes"
	"slices"
	"strings"
)

// readOnlyPOP3 keeps a client from marking messages as deleted. Whatever is not
// known to change nothing is refused, for XTND XMIT would even send mail.
type readOnlyPOP3 struct {
	inOrder
}

// readOnlyPOP3Commands change nothing (RFC 1939, RFC 2449, RFC 6856). Of what
// they answer, several lines come always, or where no argument is given.
var (
	readOnlyPOP3Commands = []string{"STAT", "LIST", "UIDL", "RETR", "TOP", "NOOP", "RSET", "LAST", "QUIT", "CAPA", "UTF8", "LANG"}
	severalLines         = []string{"RETR", "TOP", "CAPA"}
	severalWithout       = []string{"LIST", "UIDL", "LANG"}
)

func newReadOnlyPOP3(n *narrowing) {
	f := &readOnlyPOP3{inOrder{narrowing: n, over: pop3Over}}
	n.hear, n.tell = f.hearPOP3, f.tellInOrder
}

func (f *readOnlyPOP3) hearPOP3(b []byte) error {
	for len(b) > 0 {
		var done bool
		if b, done = f.line.take(b); !done {
			break
		}
		line, long := f.line.string(), f.line.long
		f.line.clear()
		if err := f.obey(line, long); err != nil {
			return err
		}
	}
	return f.flush()
}

func (f *readOnlyPOP3) obey(line string, long bool) error {
	words := strings.Fields(line)
	verb := ""
	if len(words) > 0 {
		verb = strings.ToUpper(words[0])
	}
	switch {
	case long:
		return f.answer("-ERR line too long")
	case misread(line):
		return f.answer("-ERR a line break in a command")
	case verb == "DELE":
		return f.answer("-ERR " + f.password + " is read-only: the message stays")
	case !slices.Contains(readOnlyPOP3Commands, verb):
		return f.answer("-ERR " + f.password + " is read-only: not this command")
	}
	several := slices.Contains(severalLines, verb) || slices.Contains(severalWithout, verb) && len(words) == 1
	if err := f.expect(awaited{lines: several}); err != nil {
		return err
	}
	f.out = append(append(f.out, line...), "\r\n"...)
	return nil
}

// pop3Over: what goes well and has several lines ends with a dot alone.
func pop3Over(a *awaited, line *partialLine, first bool) bool {
	if first {
		return !a.lines || line.head[0] != '+'
	}
	return string(bytes.TrimRight(line.head, "\r\n")) == "." && line.size <= len(".\r\n")
}
