package filter

import (
	"bytes"
	"strings"
)

// BadMailFrom is the reply to a MAIL command that [MailFrom] cannot read.
const BadMailFrom = "501 5.5.4 write MAIL FROM:<address>"

// MailFrom returns a MAIL command with another sender and the same parameters.
// Devices write the path with spaces before it and without its brackets. It is not
// ok if it is uncertain where the path ends.
func MailFrom(line, sender string) (mapped string, ok bool) {
	verb, path, _ := strings.Cut(line, " ")
	path = strings.TrimLeft(path, " ")
	if !strings.EqualFold(verb, "MAIL") || len(path) < len("FROM:") || !strings.EqualFold(path[:len("FROM:")], "FROM:") || ambiguous(line) {
		return "", false
	}
	path = strings.TrimLeft(path[len("FROM:"):], " ")
	end := strings.IndexByte(path, ' ')
	if strings.HasPrefix(path, "<") {
		if end = pathEnd(path); end < 0 {
			return "", false
		}
	}
	params := ""
	if end >= 0 {
		params = path[end:]
	}
	if params != "" && params[0] != ' ' || strings.ContainsAny(params, "<>") {
		return "", false
	}
	if params = strings.Trim(params, " "); params != "" {
		params = " " + params
	}
	return "MAIL FROM:<" + sender + ">" + params, true
}

// pathEnd returns where a path in brackets ends, or -1. A bracket within a quoted
// local part (RFC 5321 §4.1.2) is part of it.
func pathEnd(path string) int {
	quoted := false
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == '>' && !quoted:
			return i + 1
		}
	}
	return -1
}

// dataEnd finds the end of a message: a dot on a line of its own (RFC 5321
// §4.1.1.4). Servers differ on whether a lone line feed or carriage return ends a
// line. A dot between such is the end for one and text for another, and commands
// in the text would escape the count. Here such a dot between line feeds is the
// end, and is forwarded as CRLF.CRLF, which is one for every server; one beside a
// lone carriage return ends the session. All else is forwarded as it is.
type dataEnd struct {
	held  string // not forwarded yet: the line end and the dot that may have to be changed
	begun string // the line end that the line began with
	start bool   // nothing of the line has come
	dot   bool   // a dot is all that has come
	cr    bool   // a CR has come, which LF may follow
}

// dataBegins is the state after the reply to DATA.
var dataBegins = dataEnd{begun: "\r\n", start: true}

// pass adds to out what is forwarded of b. It is not ok for the session to go on
// with a dot beside a lone CR.
func (e *dataEnd) pass(out, b []byte) (to, rest []byte, ended, ok bool) {
	for i := 0; i < len(b); i++ {
		if !e.start && !e.dot && !e.cr { // within a line
			n := bytes.IndexAny(b[i:], "\r\n")
			if n < 0 {
				n = len(b) - i
			}
			out = append(out, b[i:i+n]...)
			if i += n; i == len(b) {
				break
			}
		}
		c := b[i]
		if c != '\n' && e.cr { // it was a lone CR
			if e.dot {
				return out, nil, false, false
			}
			out = append(out, e.held...)
			*e = dataEnd{begun: "\r", start: true}
		}
		switch {
		case c == '\n' && e.dot && e.begun == "\r":
			return out, nil, false, false
		case c == '\n' && e.dot && e.begun == "\n":
			return append(out, "\r\n.\r\n"...), b[i+1:], true, true
		case c == '\n' && e.dot:
			return append(out, "\r\n"...), b[i+1:], true, true
		case c == '\n' && e.cr:
			out = append(append(out, e.held...), c)
			*e = dataEnd{begun: "\r\n", start: true}
		case c == '\n':
			out = append(out, e.held...)
			*e = dataEnd{begun: "\n", start: true, held: "\n"}
		case c == '\r':
			e.cr, e.held = true, e.held+"\r"
		case c == '.' && e.start && e.begun == "\n":
			e.start, e.dot, e.held = false, true, e.held+"."
		default:
			out = append(append(out, e.held...), c)
			e.dot = c == '.' && e.start
			e.start, e.held = false, ""
		}
	}
	return out, nil, false, true
}
