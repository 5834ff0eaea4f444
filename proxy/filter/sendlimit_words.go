package filter

import "strings"

// networkWords name a trusted network to the device in it.
const NetworkWords = "the network of this device"

const BadMailFrom = "501 5.5.4 write MAIL FROM:<address>"

// mailFrom is a MAIL command with another sender, its parameters kept. Devices
// write the path with spaces before it and without its brackets. It is not ok
// if where the path ends is not certain.
func MailFrom(line, sender string) (mapped string, ok bool) {
	verb, path, _ := strings.Cut(line, " ")
	path = strings.TrimLeft(path, " ")
	if !strings.EqualFold(verb, "MAIL") || len(path) < len("FROM:") || !strings.EqualFold(path[:len("FROM:")], "FROM:") || misread(line) {
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

// pathEnd is where a path in brackets ends; -1 if it does not. A bracket within
// a quoted local part (RFC 5321 §4.1.2) is part of it.
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
