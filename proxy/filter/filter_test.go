package filter

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"testing"

	"authferry/internal/protocol"
	"authferry/proxy/relay"
	"authferry/tokens"
)

// readAlong is a session with a filter, played without sockets. A reference
// provider of the test gets what the filter forwards, and answers at once.
type readAlong struct {
	sync.Mutex
	filter   relay.Filter // nil: the password may do everything
	provider func(b []byte, say func(string))
	client   bytes.Buffer // what the client has been told
	sent     bytes.Buffer // what has reached the provider
	broken   error        // why the session was broken off
}

func newReadAlong(protocol protocol.Protocol, rules tokens.PasswordRules, provider func(b []byte, say func(string))) *readAlong {
	r := &readAlong{provider: provider}
	r.filter = New(Options{
		Protocol: protocol, Vault: tokens.NewVault(nil, tokens.Settings{}, nil), Chunking: true,
		Grant: &tokens.Grant{PasswordID: "1", PasswordName: "n", Password: rules},
	}, r)
	return r
}

// Put gives the provider what the filter forwards.
func (r *readAlong) Put(b []byte) error {
	r.sent.Write(b)
	r.provider(b, func(s string) { r.tell([]byte(s)) })
	return nil
}

// Say notes what the filter tells the client.
func (r *readAlong) Say(text string) error {
	r.client.WriteString(text)
	return nil
}

func (r *readAlong) End(string, error) {}

func (r *readAlong) Abort(why error) error { return why }

// tell gives the filter what the provider sends, in chunks.
func (r *readAlong) tell(b []byte) {
	for _, chunk := range chunksOf(b, len(b)%7+1) {
		r.Lock()
		said, err := r.filter.FromProvider(chunk)
		r.client.Write(said)
		r.Unlock()
		if err != nil && r.broken == nil {
			r.broken = err
		}
	}
}

// hear gives the filter what the client sends, in chunks.
func (r *readAlong) hear(b []byte, size int) {
	for _, chunk := range chunksOf(b, size) {
		if r.broken == nil {
			r.broken = r.filter.FromClient(chunk)
		}
	}
}

func chunksOf(b []byte, size int) (chunks [][]byte) {
	for len(b) > 0 {
		n := min(max(size, 1), len(b))
		chunks = append(chunks, bytes.Clone(b[:n]))
		b = b[n:]
	}
	return chunks
}

// decisions are the choices that a fuzzer makes for the provider, one byte each.
// After the last one the provider accepts everything.
type decisions []byte

func (d *decisions) next() byte {
	if len(*d) == 0 {
		return 0
	}
	first := (*d)[0]
	*d = (*d)[1:]
	return first
}

// lineOf splits the first line off b. For a lenient server a lone CR or LF ends a
// line.
func lineOf(b string, lenient bool) (line, rest string, ok bool) {
	for i := range len(b) {
		switch {
		case b[i] == '\r' && i+1 < len(b) && b[i+1] == '\n':
			return b[:i], b[i+2:], true
		case b[i] == '\r' && i+1 == len(b):
			return "", b, false
		case lenient && (b[i] == '\r' || b[i] == '\n'):
			return b[:i], b[i+1:], true
		}
	}
	return "", b, false
}

func TestPlainSessionsAreNotRead(t *testing.T) {
	for _, protocol := range protocol.All {
		for _, rules := range []tokens.PasswordRules{{}, {ReadOnly: protocol == "smtp", MessagesPerHour: map[string]int{"imap": 1, "pop3": 1}[string(protocol)]}} {
			if r := newReadAlong(protocol, rules, nil); r.filter != nil {
				t.Errorf("%s is read along under %+v", protocol, rules)
			}
		}
	}
}

// TestCommandLine: a line is complete in chunks of any size, and a long one is
// reduced to its two ends.
func TestCommandLine(t *testing.T) {
	for _, text := range []string{"", "a NOOP", string(bytes.Repeat([]byte("x"), maxCommandLine))} {
		for range 20 {
			var l commandLine
			b, done := []byte(text+"\r\nrest"), false
			for !done {
				n := min(len(b), 1+rand.IntN(len(text)+3))
				var rest []byte
				if rest, done = l.take(b[:n]); done {
					b = b[n-len(rest):]
				} else {
					b = b[n:]
				}
			}
			if l.string() != text && len(text) < maxCommandLine || string(b) != "rest" {
				t.Errorf("%.20q, %q left", l.string(), b)
			}
		}
	}
	var l commandLine
	for range 100 {
		l.take(bytes.Repeat([]byte("x"), 4096))
	}
	if _, done := l.take([]byte(" {3+}\r\n")); !done || !l.long || !bytes.HasSuffix(l.text, []byte(" {3+}\r")) || cap(l.text) > 4*maxCommandLine {
		t.Errorf("long %v, %d bytes kept: %q", l.long, cap(l.text), l.text)
	}
}
