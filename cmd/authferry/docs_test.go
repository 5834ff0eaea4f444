package main

import (
	"bytes"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// README.md and docs/*.md are checked against the product: commands and flags are run,
// configurations are loaded, log lines are searched in the source, links are followed.

// manual is a document: its text, and the code in it.
type manual struct {
	path   string
	text   string
	spans  []string
	blocks []codeBlock
}

// codeBlock is code on lines of its own; kind is what the fence says, "" where
// there is no fence but an indent.
type codeBlock struct {
	kind string
	line int
	text string
}

var (
	codeSpan = regexp.MustCompile("`([^`\n]+)`")
	fence    = regexp.MustCompile("^ *```([a-z]*)$")
)

// manuals reads README.md and all of docs.
func manuals(t *testing.T) []manual {
	t.Helper()
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(files) == 0 {
		t.Fatal("no documents", err)
	}
	var all []manual
	for _, file := range append(files, "../../README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, readManual(file, string(text)))
	}
	return all
}

// readManual finds the code: between fences; on lines indented by four, or by
// seven in a list, after an empty line or another such line; between backquotes.
func readManual(file, text string) manual {
	m := manual{path: file, text: text}
	var open *codeBlock
	fenced, before := false, ""
	for i, line := range strings.Split(text, "\n") {
		mark := fence.FindStringSubmatch(line)
		switch {
		case mark != nil && !fenced:
			fenced, open = true, &codeBlock{kind: mark[1], line: i + 1}
		case mark != nil:
			m.blocks, fenced, open = append(m.blocks, *open), false, nil
		case fenced:
			open.text += line + "\n"
		case strings.HasPrefix(line, "    ") && (open != nil || before == "") && !listItem.MatchString(line):
			if open == nil {
				open = &codeBlock{line: i + 1}
			}
			open.text += strings.TrimSpace(line) + "\n"
		default:
			if open != nil {
				m.blocks, open = append(m.blocks, *open), nil
			}
			for _, s := range codeSpan.FindAllStringSubmatch(line, -1) {
				m.spans = append(m.spans, s[1])
			}
		}
		before = line
	}
	return m
}

var listItem = regexp.MustCompile(`^ +([-*]|[0-9]+\.) `)

// shell returns the parts of a document that may be command lines.
func (m manual) shell() []string {
	lines := slices.Clone(m.spans)
	for _, b := range m.blocks {
		if b.kind == "" || b.kind == "sh" {
			lines = append(lines, strings.Split(strings.ReplaceAll(b.text, "\\\n", " "), "\n")...)
		}
	}
	return lines
}

// command finds the arguments of authferry in a line of shell; found is false
// where it runs other programs only.
func command(line string) (args []string, found bool) {
	line, _, _ = strings.Cut(line, " #")
	for part := range strings.SplitSeq(strings.NewReplacer("&&", "|", "||", "|", ";", "|").Replace(line), "|") {
		if args, found = arguments(shellWords(part)); found {
			return args, true
		}
	}
	return nil, false
}

// arguments are those of authferry in a command, which may be run by another.
func arguments(words []string) (args []string, found bool) {
	switch {
	case len(words) == 0:
		return nil, false
	case path.Base(words[0]) == "authferry":
		return words[1:], true
	case words[0] == "sudo" && len(words) > 2 && words[1] == "-u":
		return arguments(words[3:])
	case words[0] == "sudo", words[0] == "env", strings.Contains(words[0], "="):
		return arguments(words[1:])
	case words[0] == "go" && len(words) > 1 && words[1] == "run":
		return arguments(words[2:])
	case words[0] == "ssh", slices.Contains(words, "exec"): // on another machine, or in a container
		for i, w := range slices.Backward(words) {
			if w == "authferry" {
				return words[i+1:], true
			}
		}
	}
	return nil, false
}

var shellWord = regexp.MustCompile(`"[^"]*"|'[^']*'|[^ "']+`)

// shellWords splits a command line, up to a redirection.
func shellWords(line string) []string {
	var words []string
	for _, w := range shellWord.FindAllString(line, -1) {
		if strings.HasPrefix(w, "<") || strings.HasPrefix(w, ">") || strings.HasPrefix(w, "2>") {
			break
		}
		words = append(words, strings.Trim(w, `"'`))
	}
	return words
}

var usagePath = regexp.MustCompile(`(?m)^Usage:\n  (authferry[a-z -]*?)(?: \[?[A-Z-].*| \[flags\].*| \[command\])?$`)

// help runs a command with --help: cobra looks at all the flags before it prints
// anything. It returns the words by which the command is known.
func help(args []string) (known []string, text string, code int) {
	var out, errs bytes.Buffer
	code = run(append(slices.Clone(args), "--help"), strings.NewReader(""), &out, &errs)
	if m := usagePath.FindStringSubmatch(out.String()); m != nil {
		known = strings.Fields(m[1])
	}
	return known, out.String() + errs.String(), code
}

// TestDocumentedCommands: every command line of authferry in the documents is valid,
// flags included.
func TestDocumentedCommands(t *testing.T) {
	seen := 0
	for _, m := range manuals(t) {
		for _, line := range m.shell() {
			args, found := command(line)
			if !found {
				continue
			}
			args = slices.DeleteFunc(args, func(a string) bool { return a == "..." })
			known, text, code := help(args)
			words := len(args)
			if flag := slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, "-") }); flag >= 0 {
				words = flag
			}
			group := strings.Contains(text, " [command]\n")
			switch {
			case code != 0:
				t.Errorf("%s: `%s`: %s", m.path, line, strings.TrimSpace(text))
			case group && words >= len(known):
				t.Errorf("%s: `%s`: %s has no such command", m.path, line, strings.Join(known, " "))
			}
			seen++
		}
	}
	if seen < 50 {
		t.Errorf("only %d command lines found: has their writing changed?", seen)
	}
}

// TestDocumentedFlags: every flag in the documents belongs to a command.
func TestDocumentedFlags(t *testing.T) {
	flags := flagsBelow(t, nil)
	for _, m := range manuals(t) {
		for _, s := range m.spans {
			if flag, _, _ := strings.Cut(s, " "); strings.HasPrefix(flag, "--") && !flags[flag] {
				t.Errorf("%s: no command has the flag %s", m.path, flag)
			}
		}
	}
}

var (
	subcommand = regexp.MustCompile(`(?m)^  ([a-z-]+) {2,}`)
	flagOfHelp = regexp.MustCompile(`(?m)^ +(?:-[a-z], )?(--[a-z-]+)`)
)

// flagsBelow collects the flags of a command and of all below it.
func flagsBelow(t *testing.T, words []string) map[string]bool {
	t.Helper()
	_, text, code := help(words)
	if code != 0 {
		t.Fatalf("%q: %s", words, text)
	}
	flags := map[string]bool{}
	for _, f := range flagOfHelp.FindAllStringSubmatch(text, -1) {
		flags[f[1]] = true
	}
	_, list, _ := strings.Cut(text, "\nUsage:")
	list, _, _ = strings.Cut(list, "\nFlags:")
	for _, sub := range subcommand.FindAllStringSubmatch(list, -1) {
		if sub[1] == "help" || sub[1] == "completion" {
			continue
		}
		for f := range flagsBelow(t, append(slices.Clone(words), sub[1])) {
			flags[f] = true
		}
	}
	return flags
}

// TestDocumentedLinks: links within the repository lead somewhere.
func TestDocumentedLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, m := range manuals(t) {
		for _, l := range link.FindAllStringSubmatch(m.text, -1) {
			file, anchor, _ := strings.Cut(l[1], "#")
			if strings.Contains(file, "://") {
				continue
			}
			target := m.path
			if file != "" {
				target = filepath.Join(filepath.Dir(m.path), file)
			}
			text, err := os.ReadFile(target)
			if dir, statErr := os.Stat(target); statErr == nil && dir.IsDir() {
				err = nil
			}
			if err != nil {
				t.Errorf("%s: a link to nowhere: %v", m.path, err)
			} else if anchor != "" && !slices.Contains(anchors(string(text)), anchor) {
				t.Errorf("%s: %s has no heading for #%s", m.path, target, anchor)
			}
		}
	}
}

// anchors are the names that GitHub gives to headings.
func anchors(text string) []string {
	var all []string
	for _, h := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		name := strings.ReplaceAll(strings.ToLower(strings.TrimSpace(h[1])), " ", "-")
		all = append(all, regexp.MustCompile(`[^\p{L}\p{N}_-]`).ReplaceAllString(name, ""))
	}
	return all
}

// sources returns the source of the product, with its strings as they are printed.
func sources(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := fs.WalkDir(os.DirFS("../.."), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return err
		}
		text, err := os.ReadFile(filepath.Join("../..", name))
		all.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	split := regexp.MustCompile(`" \+\s+"`) // a sentence over two lines
	return strings.ReplaceAll(split.ReplaceAllString(all.String(), ""), `\"`, `"`)
}
