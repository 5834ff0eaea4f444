// Package document reads a TOML document key by key, with the position of each key
// and with the environment laid over it. The code that reads a document is its
// schema: asking for a key makes it known, and a key that was not asked for is an
// error.
package document

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

	"authferry/internal/hint"
)

// Document is a TOML file being read: the positions of its keys, the keys that
// were asked for, and the complaints.
type Document struct {
	File        string
	positions   positions
	Environment environment     // takes precedence over the file
	asked       map[string]bool // every key asked for, as a dotted path
	complaints  Complaints
	Warnings    []string
	Keys        []Setting // the values asked for
}

// Setting is a key of a configuration as it is in force, for people. Secrets are
// masked in Value.
type Setting struct {
	Key      string // as a dotted path
	Value    string // as the file would have it
	Line     int    // in the file; 0: not there
	Variable string // the environment variable it comes from; "": none
}

// Complaint is one error in a configuration file.
type Complaint struct {
	file string
	line int // 0: nowhere in particular
	key  string
	what string
	hint string
}

func (c Complaint) String() string {
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

// Complaints are all errors in a configuration file, as an error with a line
// for each.
type Complaints []Complaint

func (cs Complaints) Error() string {
	lines := make([]string, len(cs))
	for i, c := range cs {
		lines[i] = c.String()
	}
	return strings.Join(lines, "\n")
}

// IsUsage reports that they are errors of usage: see hint.IsUsage.
func (cs Complaints) IsUsage() bool { return true }

// Err returns the complaints in the order of their lines, or nil.
func (d *Document) Err() error {
	if len(d.complaints) == 0 {
		return nil
	}
	slices.SortStableFunc(d.complaints, func(a, b Complaint) int { return a.line - b.line })
	return d.complaints
}

// AskedKeys returns the dotted path of every key that was asked for, sorted.
func (d *Document) AskedKeys() []string { return slices.Sorted(maps.Keys(d.asked)) }

// Parse reads the source of a file into its outermost table. Values are left
// untyped, since decoding into a struct would end at the first mismatch.
func Parse(file string, source []byte) (*Document, *Table) {
	d := &Document{File: file, asked: map[string]bool{}}
	root := &Table{doc: d, values: map[string]any{}}
	if _, err := toml.Decode(string(source), &root.values); err != nil {
		d.complaints = append(d.complaints, syntaxComplaint(file, err))
		return d, nil
	}
	d.positions = locate(string(source))
	return d, root
}

// quoted matches a piece of the source that a parser's message repeats.
var quoted = regexp.MustCompile(`"[^"]{2,}"`)

// syntaxComplaint returns where a file is not TOML. It repeats neither the
// lines around the position (toml.ParseError.ErrorWithUsage) nor the words that
// the parser did not understand: a client_secret without quotes would be among
// them.
func syntaxComplaint(file string, err error) Complaint {
	p, ok := errors.AsType[toml.ParseError](err)
	if !ok {
		return Complaint{file: file, what: "not valid TOML"}
	}
	c := Complaint{file: file, line: p.Position.Line, key: p.LastKey, what: "the value is not valid TOML", hint: "texts stand in quotes"}
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

// Table reads one TOML table key by key. A nil table reads as an empty one.
type Table struct {
	doc    *Document
	path   string // dotted, with a dot at the end; "" for the outermost
	values map[string]any
	known  []string
}

// Complain records what is wrong with a key of the table.
func (t *Table) Complain(key, what, hint string) {
	path := t.path + key
	c := Complaint{t.doc.File, t.doc.positions.line(path), path, what, hint}
	if name := t.doc.variableOf(path); name != "" {
		c.file, c.line, c.key = InEnvironment, 0, name
	}
	t.doc.complaints = append(t.doc.complaints, c)
}

// ComplainAt records what is wrong with an element of a list.
func (t *Table) ComplainAt(key string, i int, what, hint string) {
	t.Complain(fmt.Sprintf("%s[%d]", key, i), what, hint)
}

// Has reports whether a key is given, and makes the key known.
func (t *Table) Has(key string) bool {
	_, ok := t.Get(key)
	return ok
}

func (t *Table) Get(key string) (any, bool) { return t.look(key, true) }

// look is Get for keys that may (inFile) or may not have their value in a file
// of its own.
func (t *Table) look(key string, inFile bool) (any, bool) {
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
func typed[T any](t *Table, key, kind string, otherwise T) T {
	_, isTable := any(otherwise).(map[string]any)
	v, ok := t.look(key, !isTable)
	if !ok {
		t.note(key, otherwise, false)
		return otherwise
	}
	if g, ok := v.(EnvText); ok {
		v, _ = g.as(any(otherwise))
	}
	if v, ok := v.(T); ok {
		t.note(key, v, true)
		return v
	}
	t.Complain(key, "must be "+kind, "")
	return otherwise
}

func (t *Table) Text(key, otherwise string) string {
	return typed(t, key, `a text in quotes`, otherwise)
}

func (t *Table) Flag(key string, otherwise bool) bool {
	return typed(t, key, "true or false", otherwise)
}

// Texts returns a list of texts; nil if the key is absent.
func (t *Table) Texts(key string) []string {
	list := typed[[]any](t, key, `a list of texts, such as ["a", "b"]`, nil)
	if list == nil {
		return nil
	}
	texts := make([]string, 0, len(list))
	for i, v := range list {
		s, ok := v.(string)
		if !ok {
			t.ComplainAt(key, i, "must be a text in quotes", "")
			continue
		}
		texts = append(texts, s)
	}
	return texts
}

// Duration returns a time span such as "30s"; it must be positive.
func (t *Table) Duration(key string, otherwise time.Duration) time.Duration {
	v, ok := t.Get(key)
	if !ok {
		t.note(key, otherwise, false)
		return otherwise
	}
	if g, ok := v.(EnvText); ok {
		v = string(g)
	}
	s, ok := v.(string)
	d, err := time.ParseDuration(s)
	switch {
	case !ok || err != nil:
		t.Complain(key, "must be a time span in quotes", `such as "30s", "5m" or "1h30m"`)
	case d <= 0:
		t.Complain(key, "must be greater than zero", `such as "30s"`)
	default:
		t.note(key, s, true)
		return d
	}
	return otherwise
}

// Count returns a whole number in [least, most].
func (t *Table) Count(key string, otherwise, least, most int) int {
	n := typed(t, key, "a whole number", int64(otherwise))
	if n < int64(least) || n > int64(most) {
		t.Complain(key, fmt.Sprintf("must be from %d to %d", least, most), "")
		return otherwise
	}
	return int(n)
}

// Table returns a table within; an empty one if the key is absent.
func (t *Table) Table(key string) *Table {
	values := typed[map[string]any](t, key, fmt.Sprintf("a table, begun by a line [%s%s]", t.path, key), nil)
	return &Table{doc: t.doc, path: t.path + key + ".", values: values}
}

// TablesByName returns a table of tables whose names are free to choose. Those
// that only the environment knows are added: a variable's name ends a table's
// name by one of the known names, or at its first _.
func (t *Table) TablesByName(key string, known ...string) *Table {
	within := t.Table(key)
	within.addTables(known)
	return within
}

// TextsByName returns a table of texts whose names are free to choose, with
// those that only the environment knows.
func (t *Table) TextsByName(key string) *Table {
	within := t.Table(key)
	within.addTexts()
	return within
}

// Written returns the value of a key in the file itself, whatever the
// environment says, without making the key known.
func (t *Table) Written(key string) any { return t.values[key] }

// Empty reports whether the table gives no key at all.
func (t *Table) Empty() bool { return len(t.values) == 0 }

// Resolve returns a path as an absolute one: see document.resolve.
func (t *Table) Resolve(path string) string { return t.doc.resolve(path) }

// Warn records a warning about the document.
func (t *Table) Warn(warning string) { t.doc.Warnings = append(t.doc.Warnings, warning) }

// Document returns the file that the table is read from.
func (t *Table) Document() string { return t.doc.File }

// UsesVariable makes an environment variable known that a value names.
func (t *Table) UsesVariable(name string) { t.doc.Environment.use(name) }

// Variable returns the environment variable that a key is given by, if one is,
// and whether that names a file with the value in it.
func (t *Table) Variable(key string) (name, value string, inFile bool) {
	v, inFile := t.doc.Environment.find(t.path + key)
	if v == nil {
		return "", "", false
	}
	return v.name, string(v.value), inFile
}

// Keys lists the names in a table whose names are free to choose.
func (t *Table) Keys() []string { return slices.Sorted(maps.Keys(t.values)) }

// File returns a path, relative ones being relative to the configuration file,
// or to where the process is without one.
func (t *Table) File(key string) string {
	if path, ok := t.pathFromEnvironment(key); ok {
		return t.doc.resolve(path)
	}
	return t.doc.resolve(t.Text(key, ""))
}

func (d *Document) resolve(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	if d.File == InEnvironment {
		if absolute, err := filepath.Abs(path); err == nil {
			return absolute
		}
	}
	return filepath.Join(filepath.Dir(d.File), path)
}

// Done complains about keys that were not asked for.
func (t *Table) Done() {
	for _, key := range t.Keys() {
		if slices.Contains(t.known, key) {
			continue
		}
		advice := "known here: " + strings.Join(slices.Sorted(slices.Values(t.known)), ", ")
		if n := hint.Suggest(key, t.known); n != "" {
			advice = fmt.Sprintf("did you mean %s?", n)
		}
		t.Complain(key, "unknown key", advice)
	}
}

// Tables returns the tables of a list, each begun by a line [[key]].
func (t *Table) Tables(key string) []*Table {
	v, ok := t.look(key, false)
	if g, isGiven := v.(EnvText); isGiven {
		v, _ = g.AsTOML()
	}
	least := t.listedInEnvironment(key)
	if !ok && least == 0 {
		return nil
	}
	var list []*Table
	add := func(values map[string]any) {
		list = append(list, &Table{doc: t.doc, path: fmt.Sprintf("%s%s[%d].", t.path, key, len(list)), values: values})
	}
	// more adds the tables that are in the environment alone.
	more := func() []*Table {
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
	t.Complain(key, fmt.Sprintf("must be tables, each begun by a line [[%s%s]]", t.path, key), "")
	return nil
}

// Gives reports whether a key has a value: "" and [] count as none.
func (t *Table) Gives(key string) bool {
	v, ok := t.Get(key)
	if g, ok := v.(EnvText); ok {
		return g != ""
	}
	list, isList := v.([]any)
	return ok && v != "" && !(isList && len(list) == 0)
}

// note remembers the value of a key, given or by default, for people who ask
// what is in force. Secrets are not remembered.
func (t *Table) note(key string, value any, given bool) {
	path := t.path + key
	shown, ok := shownValue(key, value)
	if !ok || slices.ContainsFunc(t.doc.Keys, func(s Setting) bool { return s.Key == path }) {
		return
	}
	s := Setting{Key: path, Value: shown}
	if s.Variable = t.doc.variableOf(path); given && s.Variable == "" {
		s.Line = t.doc.positions.line(path)
	}
	if !given {
		s.Variable = ""
	}
	t.doc.Keys = append(t.doc.Keys, s)
}
