package document

import (
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
)

func TestLocate(t *testing.T) {
	source := `# a comment with a = "b"
listen = [  # [not.a.table]
	"imap://127.0.0.1", # first
	'''a
b''', "c",
]
a.b . "c d" = { e = 1, f = [2, 3] }

[ provider . gmail ] # why
client_id = "x # [y]"
text = """
[no.table] \"""
key = 1"""""
after = 2026-11-21T00:00:00Z
'quo"ted' = 'C:\'
[provider.gmail.auth_params]
x=1
[alias]
"a@b" = 0x1
[[list]]
x = 1
[[ list ]]
x = [2]`
	if err := toml.Unmarshal([]byte(source), &map[string]any{}); err != nil {
		t.Fatal(err)
	}
	want := positions{
		"listen": 2, "listen[0]": 3, "listen[1]": 4, "listen[2]": 5,
		"a": 7, "a.b": 7, "a.b.c d": 7, "a.b.c d.e": 7, "a.b.c d.f": 7, "a.b.c d.f[0]": 7, "a.b.c d.f[1]": 7,
		"provider": 9, "provider.gmail": 9, "provider.gmail.client_id": 10, "provider.gmail.text": 11,
		"provider.gmail.after": 14, `provider.gmail.quo"ted`: 15,
		"provider.gmail.auth_params": 16, "provider.gmail.auth_params.x": 17,
		"alias": 18, "alias.a@b": 19,
		"list": 20, "list[0]": 20, "list[0].x": 21, "list[1]": 22, "list[1].x": 23, "list[1].x[0]": 23,
	}
	got := locate(source)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for path, line := range map[string]int{
		"provider.gmail.client_secret": 9, "listen[7]": 2, "tls.cert": 0,
	} {
		if got.line(path) != line {
			t.Errorf("line of %s: %d, want %d", path, got.line(path), line)
		}
	}
}

// FuzzLocate: whatever the parser accepts, every key it found has a line, and
// that line has something of the key in it.
func FuzzLocate(f *testing.F) {
	f.Add("a = 1\n[b]\nc = [\n'x', {d = \"\"\"\n\"\"\"}]")
	f.Add("a.'b'.\"c\" = { d.e = [[1], []] }")
	f.Fuzz(func(t *testing.T, source string) {
		found := locate(source) // must return, whatever it is given
		meta, err := toml.Decode(source, &map[string]any{})
		if err != nil {
			return
		}
		lines := strings.Split(source, "\n")
		for _, key := range meta.Keys() {
			last := key[len(key)-1]
			if strings.ContainsAny(strings.Join(key, ""), ".[\"\\") || slices.Contains(key, "") {
				continue // written otherwise than found
			}
			line := found.line(strings.Join(key, "."))
			if line < 1 || line > len(lines) {
				t.Fatalf("%q: %s at line %d of %d", source, key, line, len(lines))
			}
			if _, exact := found[strings.Join(key, ".")]; !exact && strings.Contains(source, "[") {
				continue // within an array, whose elements have numbers
			}
			if meta.Type(key...) != "Hash" && !strings.Contains(lines[line-1], last) {
				t.Fatalf("%q: %s is not in line %d", source, key, line)
			}
		}
	})
}
