// Package dialoguetest reads dialogue files for tests: conversations of authferry
// with the mail program and the provider, on one page. Their format is described
// in proxy/testdata/dialogues/README.
package dialoguetest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"authferry/proxy/relay"
)

// User is the mailbox of the dialogues.
const User = "me@example.org"

// Step is one line of a dialogue.
type Step struct {
	Line int
	Who  byte // C and P speak, c and p are spoken to, l is the log
	Text string
}

// Read splits a file into its settings and its steps. A step without text after
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

// IsVerb reports whether a step is an action instead of a line.
func (s Step) IsVerb() bool { return verb.MatchString(s.Text) }

// Filler fills in what a file cannot know, or what would make it unreadable.
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

// Peer is the far end of a connection in a fuzz test: it sends everything it has
// to say at once, and then ends.
type Peer struct {
	says          *bytes.Reader
	read          bool
	Heard         bytes.Buffer // what it was sent
	SpokenToFirst bool         // it was sent something before any of its bytes was read
}

// NewPeer returns a peer that sends said.
func NewPeer(said []byte) *Peer { return &Peer{says: bytes.NewReader(said)} }

func (p *Peer) Read(b []byte) (int, error) {
	p.read = true
	return p.says.Read(b)
}

func (p *Peer) Write(b []byte) (int, error) {
	p.SpokenToFirst = p.SpokenToFirst || !p.read
	return p.Heard.Write(b)
}

func (p *Peer) Close() error                     { return nil }
func (p *Peer) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
func (p *Peer) RemoteAddr() net.Addr             { return p.LocalAddr() }
func (p *Peer) SetDeadline(time.Time) error      { return nil }
func (p *Peer) SetReadDeadline(time.Time) error  { return nil }
func (p *Peer) SetWriteDeadline(time.Time) error { return nil }

// Left returns what the peer has sent beyond the lines read from its connection c.
func (p *Peer) Left(c *relay.Conn) []byte {
	rest, _ := io.ReadAll(p.says)
	return append(c.Release(), rest...)
}
