package pages

import (
	"fmt"
	"html/template"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template/parse"
)

var placeholder = regexp.MustCompile(`\{[a-z]+\}`)

// TestTexts: every language has every text, in all its plural forms, with the
// same placeholders.
func TestTexts(t *testing.T) {
	all, err := readTexts(textFiles)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != len(languages) {
		t.Errorf("there are texts in %d languages, and %d to choose from", len(all), len(languages))
	}
	for _, l := range languages {
		for key, want := range all[English] {
			got, ok := all[l.Code][key]
			if !ok {
				t.Errorf("%s: %s is missing", l.Code, key)
				continue
			}
			forms := []string{"other"}
			if len(want) > 1 {
				forms = pluralForms[l.Code].forms
			}
			if len(got) != len(forms) {
				t.Errorf("%s: %s has %d forms, not %d", l.Code, key, len(got), len(forms))
			}
			for _, form := range forms {
				if strings.TrimSpace(got[form]) == "" {
					t.Errorf("%s: %s says nothing in the form %s", l.Code, key, form)
				}
			}
			if a, b := placeholders(want), placeholders(got); !slices.Equal(a, b) {
				t.Errorf("%s: %s has the placeholders %v, not %v", l.Code, key, b, a)
			}
		}
		for key := range all[l.Code] {
			if _, ok := all[English][key]; !ok {
				t.Errorf("%s: nothing in English for %s", l.Code, key)
			}
		}
	}
}

func placeholders(t text) []string {
	var found []string
	for _, words := range t {
		found = append(found, placeholder.FindAllString(words, -1)...)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// TestTextsOfPages: every text that a template names exists. The template gives a
// number if the text has plural forms, and none otherwise.
func TestTextsOfPages(t *testing.T) {
	english, asked := texts()[English], 0
	for name, page := range templates() {
		for _, part := range page.Templates() {
			walk(reflect.ValueOf(part.Tree), func(c *parse.CommandNode) {
				method := ""
				switch n := c.Args[0].(type) {
				case *parse.FieldNode:
					method = n.Ident[len(n.Ident)-1]
				case *parse.VariableNode:
					method = n.Ident[len(n.Ident)-1]
				}
				if method != "T" && method != "N" || len(c.Args) < 2 {
					return
				}
				key, ok := c.Args[1].(*parse.StringNode)
				if !ok {
					return // put together at run time
				}
				asked++
				if words, ok := english[key.Text]; !ok {
					t.Errorf("page %s: no text %s", name, key.Text)
				} else if plural := len(words) > 1; plural != (method == "N") {
					t.Errorf("page %s: %s of %s", name, method, key.Text)
				}
			})
		}
	}
	if asked < 100 {
		t.Errorf("only %d texts are asked for: the walk is broken", asked)
	}
	for _, s := range []string{"fresh", "stale", "refreshing", "needs-consent", "unreachable", "disconnected", "unreadable", "refused"} {
		if _, ok := english["state."+s]; !ok {
			t.Errorf("no text for the state %s", s)
		}
	}
}

// walk calls do for every command within a template's tree.
func walk(v reflect.Value, do func(*parse.CommandNode)) {
	switch v.Kind() {
	case reflect.Interface, reflect.Pointer:
		if v.IsNil() {
			return
		}
		if c, ok := v.Interface().(*parse.CommandNode); ok {
			do(c)
		}
		walk(v.Elem(), do)
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Type != reflect.TypeFor[*parse.Tree]() {
				walk(v.Field(i), do)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			walk(v.Index(i), do)
		}
	}
}

// TestPlurals: numbers take the forms of CLDR's examples.
func TestPlurals(t *testing.T) {
	for _, test := range []struct {
		language, form string
		numbers        []int
	}{
		{"en", "one", []int{1}}, {"en", "other", []int{0, 2, 11, 21, 101}},
		{"de", "one", []int{1}}, {"de", "other", []int{0, 2, 11, 21, 101}},
		{"pl", "one", []int{1}}, {"pl", "few", []int{2, 3, 4, 22, 24, 102, 1002}},
		{"pl", "many", []int{0, 5, 11, 12, 13, 14, 21, 100, 112, 114}},
		{"ro", "one", []int{1}}, {"ro", "few", []int{0, 2, 16, 19, 101, 119, 1001}},
		{"ro", "other", []int{20, 21, 35, 100, 120, 1000}},
	} {
		for _, n := range test.numbers {
			if got := pluralForms[test.language].of(n); got != test.form {
				t.Errorf("%s: %d is %s, not %s", test.language, n, got, test.form)
			}
		}
	}
	v := Printer{Language: "pl"}
	if got := v.N("time.days", 22) + ", " + v.N("overview.sick", 5); got != "22 dni, 5 skrzynek wymaga uwagi." {
		t.Errorf("it says %q", got)
	}
	if got := v.T("nav.nothing", "x", 1); got != "nav.nothing" {
		t.Errorf("a missing text says %q", got)
	}
	if got := fmt.Sprint(template.HTMLEscapeString(v.T("error.mailbox", "mailbox", "<b>"))); !strings.Contains(got, "&lt;b&gt;") {
		t.Errorf("it says %q", got)
	}
}
