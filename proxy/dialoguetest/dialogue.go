// Package dialoguetest reads dialogue files: conversations with both legs, the
// mail program's and the provider's, on one page. testdata/dialogues/README
// describes their form.
package dialoguetest

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// User is the mailbox of the dialogues.
const User = "me@example.org"

// Step is one line of a dialogue.
type Step struct {
	Line int
	Who  byte // C and P speak, c and p are spoken to, l is the log
	Text string
}

// Read splits a file into its set-up and its steps. A step without text after
// its colon is an empty line.
func Read(t testing.TB, file string) (head map[string]string, steps []Step) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head = map[string]string{}
	for i, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		name, value, ok := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case strings.HasPrefix(line, "#") || line == "":
		case ok && len(name) == 1 && strings.Contains("CcPpl", name):
			steps = append(steps, Step{i + 1, name[0], value})
		case ok && steps == nil:
			head[name] = value
		default:
			t.Fatalf("%s:%d: not a line of a dialogue: %q", file, i+1, line)
		}
	}
	return head, steps
}

var (
	verb  = regexp.MustCompile(`^<(close|cut|tls|stall|quiet)>$`)
	macro = regexp.MustCompile(`<(b64|xoauth2|oauthbearer|bytes|hex) ?([^<>]*)>`)
)

// IsVerb reports whether a step is something to do instead of something to say.
func (s Step) IsVerb() bool { return verb.MatchString(s.Text) }

// Filler puts in what a file cannot know or would be unreadable with.
type Filler struct {
	Expand *strings.Replacer // of $USER, $PASS and the tokens
	Port   int               // of the provider
}

// Line returns a line of a file as it goes over the wire.
func (f Filler) Line(text string) string {
	if t, ok := strings.CutSuffix(text, "<lf>"); ok {
		return f.Fill(t) + "\n"
	} else if t, ok := strings.CutSuffix(text, "<open>"); ok {
		return f.Fill(t)
	}
	return f.Fill(text) + "\r\n"
}

// Fill returns a text with its macros filled in.
func (f Filler) Fill(text string) string {
	return macro.ReplaceAllStringFunc(f.Expand.Replace(text), func(m string) string {
		parts := macro.FindStringSubmatch(m)
		arg := strings.NewReplacer(`\0`, "\x00", `\1`, "\x01").Replace(parts[2])
		switch parts[1] {
		case "bytes":
			n, _ := strconv.Atoi(arg)
			return strings.Repeat("x", n)
		case "hex":
			b, _ := hex.DecodeString(strings.ReplaceAll(arg, " ", ""))
			return string(b)
		case "xoauth2":
			arg = "user=" + User + "\x01auth=Bearer " + arg + "\x01\x01"
		case "oauthbearer":
			arg = fmt.Sprintf("n,a=%s,\x01host=127.0.0.1\x01port=%d\x01auth=Bearer %s\x01\x01", User, f.Port, arg)
		}
		return base64.StdEncoding.EncodeToString([]byte(arg))
	})
}

// Seed adds to a fuzzer's corpus what one side says in the dialogues of a
// protocol, which are the files in a directory.
func Seed(f *testing.F, dir, protocol string, who byte, add func(said []byte)) {
	files, err := filepath.Glob(filepath.Join(dir, protocol+"-*.txt"))
	if err != nil || len(files) == 0 {
		f.Fatal("no dialogues", err)
	}
	filler := Filler{Expand: strings.NewReplacer("$USER", User, "$PASS", "abcd efgh ijkl mnop", "$TOKEN1", "token-1", "$TOKEN2", "token-2")}
	for _, file := range files {
		_, steps := Read(f, file)
		var said []byte
		for _, s := range steps {
			if s.Who == who && !s.IsVerb() {
				said = append(said, filler.Line(s.Text)...)
			}
		}
		if len(said) < 10_000 {
			add(said)
		}
	}
}
