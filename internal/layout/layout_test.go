package layout

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "authferry/"

// leaves have one idea each and import nothing of the module but each other.
var leaves = []string{
	"internal/address", "internal/atomicfile", "internal/buildinfo", "internal/hint", "internal/logging", "internal/network",
	"internal/printable", "internal/protocol", "internal/secret", "internal/tlserror", "internal/xoauth2",
}

// layers is the order of imports: a package imports leaves and packages of the
// layers before its own. Between packages of one layer, an import needs a line
// in siblings.
var layers = [][]string{
	{"tokens/oauth/loopback", "tokens/oauth/tokencommand"},
	{"tokens/oauth"},
	{"tokens/store"},
	{"tokens"},
	{"proxy/imapsyntax", "proxy/relay", "proxy/gate"},
	{"proxy/filter", "proxy/upstream"},
	{"proxy"},
	{"internal/*"},
	{"internal/server"},
	{"internal/supportbundle", "internal/winservice"},
	{"cmd/authferry"},
}

// siblings are the imports allowed within a layer, each with its reason.
var siblings = map[[2]string]string{
	{"internal/config", "internal/config/document"}: "it reads the document",
	{"internal/config", "internal/admin"}:           "the default place of the admin socket",
	{"internal/config", "internal/alert"}:           "alert.Config is part of a configuration",
	{"internal/config", "internal/certs"}:           "certs.Config is part of a configuration",
	{"internal/monitor", "internal/alert"}:          "metrics show what is alerted",
	{"internal/importer", "internal/onboard"}:       "an imported grant is proved like any other",

	{"internal/console", "internal/check"}:                  "the page that tests a mailbox",
	{"internal/console", "internal/config/document"}:        "the page that shows the configuration",
	{"internal/console", "internal/mailsettings"}:           "the cards on a mailbox's page",
	{"internal/console", "internal/console/connect"}:        "one of its parts",
	{"internal/console", "internal/console/form"}:           "one of its parts",
	{"internal/console", "internal/console/frame"}:          "one of its parts",
	{"internal/console", "internal/console/pages"}:          "one of its parts",
	{"internal/console", "internal/console/people"}:         "one of its parts",
	{"internal/console/connect", "internal/console/form"}:   "an invitation offers a password",
	{"internal/console/connect", "internal/console/frame"}:  "its pages stand in the frame",
	{"internal/console/connect", "internal/console/people"}: "invitations",
	{"internal/console/connect", "internal/mailsettings"}:   "the cards after a mailbox is connected",
	{"internal/console/connect", "internal/onboard"}:        "a grant is proved before it is kept",
	{"internal/console/frame", "internal/console/pages"}:    "templates and texts",
	{"internal/console/frame", "internal/console/people"}:   "who is signed in",
	{"internal/console/form", "internal/console/pages"}:     "texts of complaints",
}

// apart are programs and fixtures that the rest must not import, and that import
// nothing of the module but what is listed.
var apart = map[string][]string{
	"demo": nil,
}

// fixtures are packages that only tests import.
var fixtures = []string{
	"internal/config/configtest", "internal/console/consoletest", "internal/testport", "internal/testtls", "proxy/dialoguetest", "tokens/oauth/oauthtest",
}

const (
	maxFiles    = 15
	maxLines    = 2500
	maxFile     = 600
	maxFunction = 60
)

// larger are the packages that may outgrow maxFiles and maxLines, at most two
// besides cmd/authferry, each with its limits and its reason.
var larger = map[string]struct {
	files, lines int
	reason       string
}{
	"cmd/authferry": {60, 4000, "a file for each command"},
}

type goPackage struct {
	ImportPath, Dir string
	Imports         []string
	GoFiles         []string
}

// packages are all packages of the module, as `go list` has them.
func packages(t *testing.T) map[string]goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Imports,GoFiles", "./...")
	cmd.Dir = "../.."
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]goPackage{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list[strings.TrimPrefix(p.ImportPath, module)] = p
	}
}

// layerOf returns the place of a package in layers, -1 for a leaf; ok is false
// if it has none.
func layerOf(name string) (layer int, ok bool) {
	if slices.Contains(leaves, name) {
		return -1, true
	}
	for i, layer := range layers {
		if slices.Contains(layer, name) {
			return i, true
		}
	}
	for i, layer := range layers {
		if slices.Contains(layer, "internal/*") && strings.HasPrefix(name, "internal/") {
			return i, true
		}
	}
	return 0, false
}

func TestImportsRunDown(t *testing.T) {
	for name, p := range packages(t) {
		if slices.Contains(fixtures, name) || len(p.GoFiles) == 0 {
			continue
		}
		for _, path := range p.Imports {
			imported, ours := strings.CutPrefix(path, module)
			if !ours {
				continue
			}
			if why := forbidden(name, imported); why != "" {
				t.Errorf("%s imports %s: %s", name, imported, why)
			}
		}
	}
}

// forbidden returns why a package must not import another, "" if it may.
func forbidden(name, imported string) string {
	if slices.Contains(fixtures, imported) {
		return "it is for tests alone"
	}
	for program, may := range apart {
		inside := name == program || strings.HasPrefix(name, program+"/")
		outside := imported != program && !strings.HasPrefix(imported, program+"/")
		if inside && outside && !slices.Contains(may, imported) {
			return program + " imports nothing of the module"
		}
		if inside {
			return ""
		}
	}
	if imported == "demo" || strings.HasPrefix(imported, "demo/") {
		if name == "cmd/authferry" || strings.HasPrefix(name, "packaging/") {
			return ""
		}
		return "only the command demo starts the simulator"
	}
	from, ok := layerOf(name)
	if !ok {
		if strings.HasPrefix(name, "packaging/") {
			return ""
		}
		return "it has no place in layers"
	}
	to, ok := layerOf(imported)
	switch {
	case !ok:
		return "what it imports has no place in layers"
	case to < from, from == -1 && to == -1:
		return ""
	case to == from && siblings[[2]string{name, imported}] != "":
		return ""
	case to == from:
		return "both are in one layer, and siblings does not allow it"
	}
	return "the import runs up"
}

// TestSiblingsAreNeeded keeps the list of exceptions short.
func TestSiblingsAreNeeded(t *testing.T) {
	list := packages(t)
	for pair := range siblings {
		if !slices.Contains(list[pair[0]].Imports, module+pair[1]) {
			t.Errorf("%s does not import %s: drop the line", pair[0], pair[1])
		}
	}
}

// sources are the files of a package that are no tests, for every system.
func sources(t *testing.T, p goPackage) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(p.Dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, "_test.go") })
}

func TestPackagesStaySmall(t *testing.T) {
	for name, p := range packages(t) {
		files, lines := sources(t, p), 0
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			n := bytes.Count(text, []byte("\n"))
			if n > maxFile {
				t.Errorf("%s has %d lines, more than %d", file, n, maxFile)
			}
			lines += n
		}
		mostFiles, mostLines := maxFiles, maxLines
		if l, ok := larger[name]; ok {
			mostFiles, mostLines = l.files, l.lines
		}
		if len(files) > mostFiles || lines > mostLines {
			t.Errorf("%s has %d files and %d lines: it takes %d and %d", name, len(files), lines, mostFiles, mostLines)
		}
	}
	if len(larger) > 3 {
		t.Error("more than two packages besides cmd/authferry are larger than the rest")
	}
}

// TestTypesStayTogether: the methods of a type stand in one file, two at most,
// and no function is longer than a screen.
func TestTypesStayTogether(t *testing.T) {
	for name, p := range packages(t) {
		where := map[string]map[string]bool{} // type: its files
		for _, file := range sources(t, p) {
			set := token.NewFileSet()
			f, err := parser.ParseFile(set, file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok {
					continue
				}
				if n := set.Position(fn.End()).Line - set.Position(fn.Pos()).Line - 1; n > maxFunction {
					t.Errorf("%s: %s has %d lines, more than %d", set.Position(fn.Pos()), fn.Name.Name, n, maxFunction)
				}
				if fn.Recv == nil {
					continue
				}
				receiver := receiverName(fn.Recv.List[0].Type)
				if where[receiver] == nil {
					where[receiver] = map[string]bool{}
				}
				where[receiver][family(file)] = true
			}
		}
		for receiver, files := range where {
			if len(files) > 2 {
				t.Errorf("%s.%s has methods in %d files", name, receiver, len(files))
			}
		}
	}
}

// family is a file without the system it is for: of wire_linux.go and
// wire_other.go a program has one.
func family(file string) string {
	name := strings.TrimSuffix(filepath.Base(file), ".go")
	for _, system := range []string{"_linux", "_bsd", "_unix", "_windows", "_other"} {
		name = strings.TrimSuffix(name, system)
	}
	return name
}

func receiverName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiverName(e.X)
	case *ast.IndexExpr:
		return receiverName(e.X)
	case *ast.Ident:
		return e.Name
	}
	return fmt.Sprint(e)
}
