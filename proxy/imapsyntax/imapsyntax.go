// Package imapsyntax parses the parts of IMAP (RFC 9051) that a login needs: the
// arguments of a client's command and the status responses of a server.
package imapsyntax

import (
	"strconv"
	"strings"
)

// LiteralAt returns the size of the literal that a line of a command ends with:
// {n}, which waits for a continuation request, or {n+}, which does not (RFC 7888).
// It must begin an argument, so that a bare password may end in braces.
func LiteralAt(line string) (size int, waits, ok bool) {
	open := strings.LastIndexByte(line, '{')
	if open < 1 || line[open-1] != ' ' && line[open-1] != '(' || !strings.HasSuffix(line, "}") {
		return 0, false, false
	}
	digits, plus := strings.CutSuffix(line[open+1:len(line)-1], "+")
	n, err := strconv.ParseUint(digits, 10, 31)
	return int(n), !plus, err == nil
}

// Args are the arguments of a command that have not been read yet, with literals as
// they were sent: {5}, CRLF, five bytes.
type Args string

// Astring reads one argument: quoted, literal, or bare up to the next space. Bare
// ones need not follow the grammar of atoms: Python's imaplib sends user names as
// they are.
func (a *Args) Astring() (string, bool) {
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
	*a = Args(rest)
	return arg, ok
}

// Last reads the rest as one argument. A bare one may contain spaces: scripts send
// a password of four groups of letters as it was shown.
func (a *Args) Last() (string, bool) {
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

func (a Args) empty() bool { return strings.Trim(string(a), " ") == "" }

// unquote reads a quoted string after its opening quote. A backslash before
// anything but a quote or a backslash stands for itself: a client that sends one
// does not escape at all.
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

// Pairs reads the parameter list of ID (RFC 2971 §3.1): ("name" "value" ...) or
// NIL. It stops at the first syntax error.
func (a Args) Pairs() map[string]string {
	m := make(map[string]string)
	s, ok := strings.CutPrefix(strings.TrimLeft(string(a), " "), "(")
	if !ok {
		return m
	}
	list := Args(s)
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

// ValidTag reports whether a tag can be repeated in a reply. It accepts a little
// more than RFC 9051 §9.
func ValidTag(tag string) bool {
	if tag == "" || len(tag) > 64 || strings.ContainsAny(tag, `(){"\*+`) {
		return false
	}
	return strings.IndexFunc(tag, func(r rune) bool { return r <= ' ' || r >= 0x7f }) < 0
}

// Status is a status response: its code in brackets, if any, and its text.
type Status struct {
	Kind string // OK, NO, BAD, BYE or PREAUTH; empty: not a status response
	Code string // the name of the code in upper case, without brackets
	Arg  string // the argument of the code
	Text string // what follows the code
	Rest string // code and text as they were sent
}

// ParseStatus parses a status response after its tag.
func ParseStatus(s string) Status {
	kind, rest, _ := strings.Cut(s, " ")
	switch kind = strings.ToUpper(kind); kind {
	case "OK", "NO", "BAD", "BYE", "PREAUTH":
	default:
		return Status{}
	}
	st := Status{Kind: kind, Text: rest, Rest: rest}
	if inner, ok := strings.CutPrefix(rest, "["); ok {
		if code, text, ok := strings.Cut(inner, "]"); ok {
			name, arg, _ := strings.Cut(code, " ")
			st.Code, st.Arg, st.Text = strings.ToUpper(name), arg, strings.TrimPrefix(text, " ")
		}
	}
	return st
}

// HasWord reports whether a list separated by spaces has a word, in any case.
func HasWord(list, word string) bool {
	for f := range strings.FieldsSeq(list) {
		if strings.EqualFold(f, word) {
			return true
		}
	}
	return false
}
