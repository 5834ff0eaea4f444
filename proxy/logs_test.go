package proxy

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"authferry/proxy/relay"
)

// What docs/logs.md promises is held against what is logged: every message in
// this package's code, every line that the dialogues bring about, and every row
// of the table of refusals.

// documented is a message as docs/logs.md has it.
type documented struct {
	levels []string
	fields []documentedField
}

type documentedField struct {
	name     string
	optional bool
}

// logsDocument reads the tables of messages, and the whole text.
var logsDocument = sync.OnceValues(func() (map[string]documented, string) {
	text, err := os.ReadFile("../docs/logs.md")
	if err != nil {
		panic(err)
	}
	field := regexp.MustCompile("(\\[?)`([^`]+)`")
	messages := map[string]documented{}
	for table := range strings.SplitSeq(string(text), "\n\n") {
		if !strings.HasPrefix(table, "| message | level | fields |\n") {
			continue
		}
		for line := range strings.SplitSeq(table, "\n") {
			cells := strings.Split(line, " | ")
			name := field.FindStringSubmatch(cells[0])
			if len(cells) != 3 || name == nil {
				continue
			}
			m := documented{levels: strings.Split(cells[1], ", ")}
			for _, f := range field.FindAllStringSubmatch(cells[2], -1) {
				m.fields = append(m.fields, documentedField{f[2], f[1] == "["})
			}
			messages[name[2]] = m
		}
	}
	return messages, string(text)
})

// matches reports whether the fields of a line are those promised, in their order.
func (m *documented) matches(fields []string) bool {
	for _, f := range m.fields {
		if len(fields) > 0 && fields[0] == f.name {
			fields = fields[1:]
		} else if !f.optional {
			return false
		}
	}
	return len(fields) == 0
}

// asDocumented checks the lines of a dialogue's log.
func (d *dialogue) asDocumented() {
	messages, _ := logsDocument()
	for line := range strings.Lines(d.log.String()) {
		level, event, fields, err := fieldsOf(line)
		if err != nil {
			d.Fatal(err)
		}
		m, known := messages[event]
		if !known || !slices.Contains(m.levels, level) || !m.matches(fields) {
			d.Errorf("docs/logs.md has %q as %+v; got %s", event, m, line)
		}
	}
}

// fieldsOf reads a line of JSON with the order of its fields.
func fieldsOf(line string) (level, event string, fields []string, err error) {
	d := json.NewDecoder(strings.NewReader(line))
	if _, err := d.Token(); err != nil {
		return "", "", nil, err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return "", "", nil, err
		}
		var value any
		if err := d.Decode(&value); err != nil {
			return "", "", nil, err
		}
		switch name := name.(string); name {
		case "level":
			level, _ = value.(string)
		case "event":
			event, _ = value.(string)
		default:
			fields = append(fields, name)
		}
	}
	return level, event, fields, nil
}

// TestLogsDocument: the document has every message that this package logs, of
// its level, and every outcome.
func TestLogsDocument(t *testing.T) {
	messages, text := logsDocument()
	logged := messagesInCode(t)
	if len(logged) < 5 {
		t.Fatalf("found only %q in the code", slices.Sorted(maps.Keys(logged)))
	}
	for message, levels := range logged {
		m, known := messages[message]
		if !known {
			t.Errorf("docs/logs.md lacks the message %q", message)
		}
		for _, level := range levels {
			if !slices.Contains(m.levels, level) {
				t.Errorf("%q is logged at level %s, which docs/logs.md does not say", message, level)
			}
		}
	}
	for message, m := range messages {
		if len(m.fields) > 0 && m.fields[0].name == "protocol" && logged[message] == nil {
			t.Errorf("docs/logs.md has %q, which nothing logs", message)
		}
	}
	for _, r := range refusals {
		if !strings.Contains(text, "\n| `"+r.name+"` | ") {
			t.Errorf("docs/logs.md lacks the outcome %q", r.name)
		}
	}
	for _, side := range []string{"client", "provider", "authferry"} {
		if !strings.Contains(text, "\n| `"+outcome(relay.Ending{Side: side})+"` | ") {
			t.Errorf("docs/logs.md lacks the outcome of sessions ended by %s", side)
		}
	}
}

// messagesInCode finds what is logged by this package, and at which levels.
func messagesInCode(t *testing.T) map[string][]string {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		addMessages(t, found, file)
	}
	return found
}

func addMessages(t *testing.T, found map[string][]string, file *ast.File) {
	t.Helper()
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		method, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if on, ok := method.X.(*ast.SelectorExpr); !ok || on.Sel.Name != "Log" {
			return true
		}
		var arg int
		var levels []string
		switch method.Sel.Name {
		case "Debug", "Info", "Warn", "Error":
			levels = []string{strings.ToLower(method.Sel.Name)}
		case "Log":
			arg = 1 // and any level
		default:
			return true
		}
		literal, ok := call.Args[arg].(*ast.BasicLit)
		if !ok {
			t.Errorf("a message that is not written out: %s", method.Sel.Name)
			return true
		}
		message, err := strconv.Unquote(literal.Value)
		if err != nil {
			t.Error(err)
		}
		found[message] = append(found[message], levels...)
		if levels == nil && found[message] == nil {
			found[message] = []string{}
		}
		return true
	})
}
