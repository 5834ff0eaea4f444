package main

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"authferry/internal/console"
	"authferry/internal/hint"
)

// A document is a TOML file being read: where its keys are, which were asked
// for, and what is wrong with them. The code that reads it is the schema:
// asking for a key makes it known, and what nobody asked for is an error.
type document struct {
	file        string
	positions   positions
	environment environment     // wins over the file
	asked       map[string]bool // every key asked for, as a dotted path
	complaints  complaints
	warnings    []string
	keys        []console.Setting // the values asked for
}

// complaint is one thing wrong with a configuration file.
type complaint struct {
	file string
	line int // 0: nowhere in particular
	key  string
	what string
	hint string
}

func (c complaint) String() string {
	var b strings.Builder
	b.WriteString(c.file)
	if c.line > 0 {
		fmt.Fprintf(&b, ":%d", c.line)
	}
	if c.key != "" {
		b.WriteString(": " + c.key)
	}
	b.WriteString(": " + c.what)
	if c.hint != "" {
		b.WriteString("; " + c.hint)
	}
	return b.String()
}

// complaints are all that is wrong with a configuration file, as an error with
// a line for each.
type complaints []complaint

func (cs complaints) Error() string {
	lines := make([]string, len(cs))
	for i, c := range cs {
		lines[i] = c.String()
	}
	return strings.Join(lines, "\n")
}

func (cs complaints) exitCode() int { return exitUsage }

// err returns the complaints in the order of their lines, or nil.
func (d *document) err() error {
	if len(d.complaints) == 0 {
		return nil
	}
	slices.SortStableFunc(d.complaints, func(a, b complaint) int { return a.line - b.line })
	return d.complaints
}

// parseDocument reads the source of a file into its outermost table. Values are
// left untyped, since decoding into a struct would end at the first mismatch.
func parseDocument(file string, source []byte) (*document, *table) {
	d := &document{file: file, asked: map[string]bool{}}
	root := &table{doc: d, values: map[string]any{}}
	if _, err := toml.Decode(string(source), &root.values); err != nil {
		d.complaints = append(d.complaints, syntaxComplaint(file, err))
		return d, nil
	}
	d.positions = locate(string(source))
	return d, root
}

// quoted matches a piece of the source that a parser's message repeats.
var quoted = regexp.MustCompile(`"[^"]{2,}"`)

// syntaxComplaint says where a file is not TOML. Neither the lines around the
// place (toml.ParseError.ErrorWithUsage) nor the words the parser tripped over
// are repeated: a client_secret without quotes would be among them.
func syntaxComplaint(file string, err error) complaint {
	p, ok := errors.AsType[toml.ParseError](err)
	if !ok {
		return complaint{file: file, what: "not valid TOML"}
	}
	c := complaint{file: file, line: p.Position.Line, key: p.LastKey, what: "the value is not valid TOML", hint: "texts stand in quotes"}
	for _, telling := range []string{"expected ", "unexpected ", "Key '", "strings cannot contain"} {
		if strings.HasPrefix(p.Message, telling) {
			c.what = "not valid TOML: " + quoted.ReplaceAllString(p.Message, `"..."`)
			c.hint = ""
		}
	}
	if strings.HasPrefix(p.Message, "expected value") {
		c.hint = "texts stand in quotes"
	}
	return c
}

// table reads one TOML table key by key. A nil table reads as an empty one.
type table struct {
	doc    *document
	path   string // dotted, with a dot at the end; "" for the outermost
	values map[string]any
	known  []string
}

// complain records what is wrong with a key of the table.
func (t *table) complain(key, what, hint string) {
	path := t.path + key
	c := complaint{t.doc.file, t.doc.positions.line(path), path, what, hint}
	if name := t.doc.variableOf(path); name != "" {
		c.file, c.line, c.key = inEnvironment, 0, name
	}
	t.doc.complaints = append(t.doc.complaints, c)
}

// complainAt records what is wrong with an element of a list.
func (t *table) complainAt(key string, i int, what, hint string) {
	t.complain(fmt.Sprintf("%s[%d]", key, i), what, hint)
}

// has tells whether a key is given, and makes the key known.
func (t *table) has(key string) bool {
	_, ok := t.get(key)
	return ok
}

func (t *table) get(key string) (any, bool) { return t.look(key, true) }

// look is get, for what may stand in a file of its own and what may not.
func (t *table) look(key string, inFile bool) (any, bool) {
	if !slices.Contains(t.known, key) {
		t.known = append(t.known, key)
		t.doc.asked[t.path+key] = true
	}
	if v, ok := t.fromEnvironment(key, inFile); ok {
		return v, true
	}
	v, ok := t.values[key]
	return v, ok
}

// typed returns the value of a key as a T, or otherwise.
func typed[T any](t *table, key, kind string, otherwise T) T {
	_, isTable := any(otherwise).(map[string]any)
	v, ok := t.look(key, !isTable)
	if !ok {
		t.note(key, otherwise, false)
		return otherwise
	}
	if g, ok := v.(envText); ok {
		v, _ = g.as(any(otherwise))
	}
	if v, ok := v.(T); ok {
		t.note(key, v, true)
		return v
	}
	t.complain(key, "must be "+kind, "")
	return otherwise
}

func (t *table) text(key, otherwise string) string {
	return typed(t, key, `a text in quotes`, otherwise)
}

func (t *table) flag(key string, otherwise bool) bool {
	return typed(t, key, "true or false", otherwise)
}

// texts returns a list of texts; nil if the key is absent.
func (t *table) texts(key string) []string {
	list := typed[[]any](t, key, `a list of texts, such as ["a", "b"]`, nil)
	if list == nil {
		return nil
	}
	texts := make([]string, 0, len(list))
	for i, v := range list {
		s, ok := v.(string)
		if !ok {
			t.complainAt(key, i, "must be a text in quotes", "")
			continue
		}
		texts = append(texts, s)
	}
	return texts
}

// duration returns a time span such as "30s"; it must be positive.
func (t *table) duration(key string, otherwise time.Duration) time.Duration {
	v, ok := t.get(key)
	if !ok {
		t.note(key, otherwise, false)
		return otherwise
	}
	if g, ok := v.(envText); ok {
		v = string(g)
	}
	s, ok := v.(string)
	d, err := time.ParseDuration(s)
	switch {
	case !ok || err != nil:
		t.complain(key, "must be a time span in quotes", `such as "30s", "5m" or "1h30m"`)
	case d <= 0:
		t.complain(key, "must be more than nothing", `such as "30s"`)
	default:
		t.note(key, s, true)
		return d
	}
	return otherwise
}

// count returns a whole number in [least, most].
func (t *table) count(key string, otherwise, least, most int) int {
	n := typed(t, key, "a whole number", int64(otherwise))
	if n < int64(least) || n > int64(most) {
		t.complain(key, fmt.Sprintf("must be from %d to %d", least, most), "")
		return otherwise
	}
	return int(n)
}

// table returns a table within; an empty one if the key is absent.
func (t *table) table(key string) *table {
	values := typed[map[string]any](t, key, fmt.Sprintf("a table, begun by a line [%s%s]", t.path, key), nil)
	return &table{doc: t.doc, path: t.path + key + ".", values: values}
}

// tablesByName returns a table of tables whose names are free to choose. Those
// that only the environment knows are added: a variable's name ends a table's
// name by one of the known names, or at its first _.
func (t *table) tablesByName(key string, known ...string) *table {
	within := t.table(key)
	within.addTables(known)
	return within
}

// textsByName returns a table of texts whose names are free to choose, with
// those that only the environment knows.
func (t *table) textsByName(key string) *table {
	within := t.table(key)
	within.addTexts()
	return within
}

// written returns the value of a key in the file itself, whatever the
// environment says, without making the key known.
func (t *table) written(key string) any { return t.values[key] }

// empty reports whether the table gives no key at all.
func (t *table) empty() bool { return len(t.values) == 0 }

// resolve returns a path as an absolute one: see document.resolve.
func (t *table) resolve(path string) string { return t.doc.resolve(path) }

// warn records a warning about the document.
func (t *table) warn(warning string) { t.doc.warnings = append(t.doc.warnings, warning) }

// document returns the file that the table is read from.
func (t *table) document() string { return t.doc.file }

// usesVariable makes an environment variable known that a value names.
func (t *table) usesVariable(name string) { t.doc.environment.use(name) }

// variable returns the environment variable that a key is given by, if one is,
// and whether that names a file with the value in it.
func (t *table) variable(key string) (name, value string, inFile bool) {
	v, inFile := t.doc.environment.find(t.path + key)
	if v == nil {
		return "", "", false
	}
	return v.name, string(v.value), inFile
}

// keys lists the names in a table whose names are free to choose.
func (t *table) keys() []string { return slices.Sorted(maps.Keys(t.values)) }

// file returns a path, relative ones being relative to the configuration file,
// or to where the process is without one.
func (t *table) file(key string) string {
	if path, ok := t.pathFromEnvironment(key); ok {
		return t.doc.resolve(path)
	}
	return t.doc.resolve(t.text(key, ""))
}

func (d *document) resolve(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	if d.file == inEnvironment {
		if absolute, err := filepath.Abs(path); err == nil {
			return absolute
		}
	}
	return filepath.Join(filepath.Dir(d.file), path)
}

// done complains about keys that nobody asked for.
func (t *table) done() {
	for _, key := range t.keys() {
		if slices.Contains(t.known, key) {
			continue
		}
		advice := "known here: " + strings.Join(slices.Sorted(slices.Values(t.known)), ", ")
		if n := hint.Suggest(key, t.known); n != "" {
			advice = fmt.Sprintf("did you mean %s?", n)
		}
		t.complain(key, "unknown key", advice)
	}
}

// tables returns the tables of a list, each begun by a line [[key]].
func (t *table) tables(key string) []*table {
	v, ok := t.look(key, false)
	if g, isGiven := v.(envText); isGiven {
		v, _ = g.asTOML()
	}
	least := t.listedInEnvironment(key)
	if !ok && least == 0 {
		return nil
	}
	var list []*table
	add := func(values map[string]any) {
		list = append(list, &table{doc: t.doc, path: fmt.Sprintf("%s%s[%d].", t.path, key, len(list)), values: values})
	}
	// more adds the tables that are in the environment alone.
	more := func() []*table {
		for len(list) < least {
			add(nil)
		}
		return list
	}
	switch v := v.(type) {
	case nil:
		if !ok {
			return more()
		}
	case []map[string]any:
		for _, values := range v {
			add(values)
		}
		return more()
	case []any: // written inline
		for _, e := range v {
			if values, ok := e.(map[string]any); ok {
				add(values)
			}
		}
		if len(list) == len(v) {
			return more()
		}
	}
	t.complain(key, fmt.Sprintf("must be tables, each begun by a line [[%s%s]]", t.path, key), "")
	return nil
}

// gives tells whether a key is given a value: "" and [] stand for none.
func (t *table) gives(key string) bool {
	v, ok := t.get(key)
	if g, ok := v.(envText); ok {
		return g != ""
	}
	list, isList := v.([]any)
	return ok && v != "" && !(isList && len(list) == 0)
}
