package document

import (
	"strconv"
	"strings"
)

// positions are the lines of the keys of a TOML document, by dotted path;
// elements of an array are path[0], path[1] ... The parser does not return
// them: its MetaData has no positions,
// https://github.com/BurntSushi/toml/issues/390.
type positions map[string]int

// line returns the line of a path, or of the nearest thing around it: a key
// that is missing is complained about where its table begins.
func (p positions) line(path string) int {
	for path != "" {
		if line, ok := p[path]; ok {
			return line
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return 0
}

// locate walks a document that the parser has accepted: it need not recognise
// what is not TOML, only never run past the end of it.
func locate(source string) positions {
	l := &locator{rest: source, line: 1, found: positions{}}
	prefix, tables := "", map[string]int{}
	for l.skip(" \t\r\n"); l.rest != ""; l.skip(" \t\r\n") {
		if l.rest[0] != '[' {
			l.pair(prefix)
			continue
		}
		line, list := l.line, strings.HasPrefix(l.rest, "[[")
		l.skip("[")
		prefix = l.key()
		l.note(prefix, line)
		if list {
			n := tables[prefix]
			tables[prefix] = n + 1
			prefix += "[" + strconv.Itoa(n) + "]"
			l.found[prefix] = line
		}
		prefix += "."
		l.skip("]")
	}
	return l.found
}

type locator struct {
	rest  string
	line  int
	found positions
}

// note keeps the first line of a path, as the tables around it appear with it.
func (l *locator) note(path string, line int) {
	for path != "" {
		if _, ok := l.found[path]; !ok {
			l.found[path] = line
		}
		path = path[:max(strings.LastIndexByte(path, '.'), 0)]
	}
}

// advance takes n bytes.
func (l *locator) advance(n int) string {
	n = min(n, len(l.rest))
	taken := l.rest[:n]
	l.line += strings.Count(taken, "\n")
	l.rest = l.rest[n:]
	return taken
}

// skip passes over the given bytes and comments.
func (l *locator) skip(bytes string) {
	for l.rest != "" {
		switch {
		case strings.IndexByte(bytes, l.rest[0]) >= 0:
			l.advance(1)
		case l.rest[0] == '#':
			l.until("\n")
		default:
			return
		}
	}
}

// until takes what comes before the first of some bytes.
func (l *locator) until(bytes string) string {
	n := strings.IndexAny(l.rest, bytes)
	if n < 0 {
		n = len(l.rest)
	}
	return l.advance(n)
}

// pair passes over key = value.
func (l *locator) pair(prefix string) {
	line, before := l.line, len(l.rest)
	path := prefix + l.key()
	l.note(path, line)
	l.skip("= \t")
	l.value(path)
	if len(l.rest) == before { // not TOML: go on all the same
		l.advance(1)
	}
}

// key reads a dotted key: bare and quoted parts, spaces around the dots.
func (l *locator) key() string {
	var parts []string
	for {
		l.skip(" \t")
		if l.rest != "" && (l.rest[0] == '"' || l.rest[0] == '\'') {
			parts = append(parts, l.quoted())
		} else {
			parts = append(parts, l.until(" \t.=]\r\n"))
		}
		l.skip(" \t")
		if !strings.HasPrefix(l.rest, ".") {
			return strings.Join(parts, ".")
		}
		l.advance(1)
	}
}

// quoted passes over any of the four kinds of string and returns what is in it,
// escapes left as they are written.
func (l *locator) quoted() string {
	quote := l.rest[:1]
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(l.rest, triple) {
		quote = triple
	}
	l.advance(len(quote))
	n := 0
	for n < len(l.rest) && !strings.HasPrefix(l.rest[n:], quote) {
		if l.rest[n] == '\\' && quote[0] == '"' {
			n++
		}
		n++
	}
	inside := l.advance(n)
	l.advance(len(quote))
	// A text of three quotes may end in up to two more of them.
	for len(quote) == 3 && strings.HasPrefix(l.rest, quote[:1]) {
		l.advance(1)
	}
	return inside
}

func (l *locator) value(path string) {
	switch {
	case l.rest == "":
	case l.rest[0] == '"' || l.rest[0] == '\'':
		l.quoted()
	case l.rest[0] == '[':
		l.elements(path)
	case l.rest[0] == '{':
		l.fields(path)
	default:
		l.until(" \t\r\n,]}#")
	}
}

func (l *locator) elements(path string) {
	l.advance(1)
	for i := 0; ; i++ {
		l.skip(" \t\r\n,")
		if l.rest == "" || l.rest[0] == ']' {
			l.advance(1)
			return
		}
		element := path + "[" + strconv.Itoa(i) + "]"
		l.found[element] = l.line
		before := len(l.rest)
		l.value(element)
		if len(l.rest) == before {
			l.advance(1)
		}
	}
}

func (l *locator) fields(path string) {
	l.advance(1)
	for {
		l.skip(" \t\r\n,")
		if l.rest == "" || l.rest[0] == '}' {
			l.advance(1)
			return
		}
		l.pair(path + ".")
	}
}
