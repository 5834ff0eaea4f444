package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"authferry/internal/testtls"
	"authferry/proxy/gate"
	"authferry/tokens"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// countingStore counts the questions of a vault.
type countingStore struct {
	store.Store
	gets atomic.Int64
}

func (c *countingStore) Get(ctx context.Context, mailbox string) (*store.Account, error) {
	c.gets.Add(1)
	return c.Store.Get(ctx, mailbox)
}

// startBalanced starts a server behind a load balancer, so that a test can connect
// from any address, with a store that counts.
func startBalanced(t testing.TB, limits gate.Limits, with ...func(*Server)) (*whole, *countingStore) {
	p := startProvider(t, &fakeProvider{protocol: "imap", after: echo})
	counting := &countingStore{}
	w := startWhole(t, p, Plain, func(s *Server) {
		dir := t.TempDir()
		seal, err := store.LoadSeal("", dir)
		if err != nil {
			t.Fatal(err)
		}
		files, err := store.OpenFiles(dir, seal)
		if err != nil {
			t.Fatal(err)
		}
		counting.Store = files
		gmail := oauth.Builtin()["gmail"]
		gmail.IMAP, gmail.RootCAs = p.endpoint(), testtls.ClientTLS().RootCAs
		s.Vault = tokens.NewVault(counting, tokens.Settings{Providers: map[string]*oauth.Provider{"gmail": gmail}}, zap.NewNop())
		t.Cleanup(func() { s.Vault.Close(context.Background()) })
		s.ProxyFrom, s.Gate = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, gate.New(limits)
		s.Limits.Sweep = time.Hour // which would ask the store as well
		for _, f := range with {
			f(s)
		}
	})
	ctx := context.Background()
	err := w.Vault.Connect(ctx, tokens.Connection{Mailbox: owner, Provider: "gmail", Token: &oauth.Token{
		Access: wholeToken, Refresh: "r", Minted: time.Now(), Expiry: time.Now().Add(time.Hour), Scopes: oauth.Builtin()["gmail"].Scopes,
	}})
	if err != nil {
		t.Fatal(err)
	}
	password, err := w.Vault.AddPassword(ctx, owner, tokens.PasswordSpec{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	w.password = strings.ReplaceAll(password.Reveal(), " ", "")
	return w, counting
}

// dialFrom connects as if from an address.
func (w *whole) dialFrom(from netip.Addr) (*bufio.Reader, net.Conn, error) {
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		return nil, nil, err
	}
	c.SetDeadline(time.Now().Add(patient))
	family, to := "TCP4", "198.51.100.1"
	if from.Is6() {
		family, to = "TCP6", "2001:db8::1"
	}
	_, err = fmt.Fprintf(c, "PROXY %s %s %s 50000 143\r\n", family, from, to)
	return bufio.NewReader(c), c, err
}

// tryFrom makes one attempt to log in and returns the answer to it.
func (w *whole) tryFrom(from netip.Addr, user, password string) (string, error) {
	r, c, err := w.dialFrom(from)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "* OK") {
		return line, err
	}
	if _, err := io.WriteString(c, "a LOGIN "+user+" "+password+"\r\n"); err != nil {
		return "", err
	}
	return r.ReadString('\n')
}

// TestGuessingOverConnections: thousands of guesses over real connections, at a
// mailbox and at one that does not exist. Both get the same answers and cost the
// store the same, and a blocked login costs it nothing.
func TestGuessingOverConnections(t *testing.T) {
	w, store := startBalanced(t, gate.Limits{Delay: -1})
	comeIn := func() {
		t.Helper()
		if line, err := w.tryFrom(home, owner, w.password); err != nil || !strings.HasPrefix(line, "a OK") {
			t.Fatalf("the owner is told %q, %v", line, err)
		}
	}
	comeIn()
	const guesses, allowed = 1000, 10 * 5 // failures of [gate], from all unknown addresses
	answers, asked := map[string]string{}, map[string]int64{}
	for _, mailbox := range []string{owner, "nobody@example.org"} {
		before := store.gets.Load()
		var said strings.Builder
		for n := range guesses {
			line, err := w.tryFrom(guesser(n), mailbox, fmt.Sprint("guess", n))
			if err != nil {
				t.Fatal(err)
			}
			said.WriteString(line)
		}
		answers[mailbox], asked[mailbox] = said.String(), store.gets.Load()-before
		comeIn()
	}
	if answers[owner] != answers["nobody@example.org"] {
		t.Error("a mailbox that is not there is answered otherwise")
	}
	if n := strings.Count(answers[owner], "[LIMIT]"); n != guesses-allowed {
		t.Errorf("%d of %d guesses are blocked", n, guesses)
	}
	if asked[owner] != allowed || asked["nobody@example.org"] != allowed {
		t.Errorf("the store was asked %v", asked)
	}
}
