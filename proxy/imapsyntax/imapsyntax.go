// Package imapsyntax reads the pieces of IMAP (RFC 9051) that are needed to find a
// login in what a client sends and a status in what a server answers.
package imapsyntax

import (
	"strconv"
	"strings"
)

// literalAt finds the literal that a line of a command ends with: {n}, which
// waits for a go-ahead, or {n+}, which does not (RFC 7888). One must begin an
// argument, so that a bare password may end in braces.
func LiteralAt(line string) (size int, waits, ok bool) {
	open := strings.LastIndexByte(line, '{')
	if open < 1 || line[open-1] != ' ' && line[open-1] != '(' || !strings.HasSuffix(line, "}") {
		return 0, false, false
	}
	digits, plus := strings.CutSuffix(line[open+1:len(line)-1], "+")
	n, err := strconv.ParseUint(digits, 10, 31)
	return int(n), !plus, err == nil
}

// imapArgs is what is left to read of a command's arguments. Literals are in
// it as they came: {5}, CRLF, five bytes.
type ImapArgs string

// astring takes one argument: quoted, literal, or bare up to the next space.
// Bare ones are not held to the grammar of atoms: Python's imaplib sends user
// names as they are.
func (a *ImapArgs) Astring() (string, bool) {
	s := strings.TrimLeft(string(*a), " ")
	var arg, rest string
	var ok bool
	switch {
	case s == "":
		return "", false
	case s[0] == '"':
		arg, rest, ok = unquote(s[1:])
	case s[0] == '{':
		arg, rest, ok = unliteral(s)
	default:
		arg, rest, ok = s, "", true
		if i := strings.IndexAny(s, " ()"); i == 0 {
			return "", false
		} else if i > 0 {
			arg, rest = s[:i], s[i:]
		}
	}
	*a = ImapArgs(rest)
	return arg, ok
}

// last takes all that is left as one argument. A bare one may contain spaces:
// scripts send a password of four groups of letters as it was shown.
func (a *ImapArgs) Last() (string, bool) {
	s := strings.Trim(string(*a), " ")
	if s == "" {
		return "", false
	}
	if s[0] != '"' && s[0] != '{' {
		*a = ""
		return s, true
	}
	arg, ok := a.Astring()
	return arg, ok && a.empty()
}

func (a ImapArgs) empty() bool { return strings.Trim(string(a), " ") == "" }

// unquote reads a quoted string behind its opening quote. A backslash before
// anything but a quote or a backslash stands for itself: whoever sends that did
// not escape at all.
func unquote(s string) (arg, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:], true
		case s[i] == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			i++
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

func unliteral(s string) (arg, rest string, ok bool) {
	head, body, found := strings.Cut(s, "\r\n")
	n, _, ok := LiteralAt(" " + head)
	if !found || !ok || n > len(body) {
		return "", "", false
	}
	return body[:n], body[n:], true
}

// pairs reads the parameter list of ID (RFC 2971 §3.1): ("name" "value" ...) or
// NIL. Whatever is not one yields what was read so far.
func (a ImapArgs) Pairs() map[string]string {
	m := make(map[string]string)
	s, ok := strings.CutPrefix(strings.TrimLeft(string(a), " "), "(")
	if !ok {
		return m
	}
	list := ImapArgs(s)
	for {
		field, ok := list.Astring()
		if !ok {
			return m
		}
		value, ok := list.Astring()
		if !ok {
			return m
		}
		m[strings.ToLower(field)] = value
	}
}

// validTag tells whether a tag can be repeated in a reply: RFC 9051 §9, a bit
// wider. Apple Mail's have dots in them.
func ValidTag(tag string) bool {
	if tag == "" || len(tag) > 64 || strings.ContainsAny(tag, `(){"\*+`) {
		return false
	}
	return strings.IndexFunc(tag, func(r rune) bool { return r <= ' ' || r >= 0x7f }) < 0
}

// imapStatus is a status response: its code in brackets, if any, and its text.
type ImapStatus struct {
	Kind string // OK, NO, BAD, BYE or PREAUTH
	Code string // the code's name in upper case, without brackets
	Arg  string // what follows the name
	Text string
	Rest string // code and text as they came
}

// parseStatus reads what follows the tag of a status response. kind is empty if
// it is none.
func ParseStatus(s string) ImapStatus {
	kind, rest, _ := strings.Cut(s, " ")
	switch kind = strings.ToUpper(kind); kind {
	case "OK", "NO", "BAD", "BYE", "PREAUTH":
	default:
		return ImapStatus{}
	}
	st := ImapStatus{Kind: kind, Text: rest, Rest: rest}
	if inner, ok := strings.CutPrefix(rest, "["); ok {
		if code, text, ok := strings.Cut(inner, "]"); ok {
			name, arg, _ := strings.Cut(code, " ")
			st.Code, st.Arg, st.Text = strings.ToUpper(name), arg, strings.TrimPrefix(text, " ")
		}
	}
	return st
}

// hasWord tells whether a word is in a list separated by spaces, in any case.
func HasWord(list, word string) bool {
	for f := range strings.FieldsSeq(list) {
		if strings.EqualFold(f, word) {
			return true
		}
	}
	return false
}
