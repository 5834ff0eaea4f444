package tokens

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"authferry/internal/secret"
	"authferry/tokens/oauth"
	"authferry/tokens/oauth/oauthtest"
	"authferry/tokens/store"
)

const (
	childEnv    = "AUTHFERRY_TEST_CHILD"
	childDir    = "AUTHFERRY_TEST_DIR"
	childURL    = "AUTHFERRY_TEST_ENDPOINT"
	childSecret = "AUTHFERRY_TEST_PASSWORD"
)

// child is the second process: it logs in once for each line that it reads, or for
// ever, uses the token, and prints it.
func child(part string) int {
	dir, endpoint := os.Getenv(childDir), os.Getenv(childURL)
	seal, err := store.LoadSeal("", dir)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	store, err := store.OpenFiles(dir, seal)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	f := &oauthtest.Endpoint{URL: endpoint}
	v := NewVault(store, Settings{Providers: map[string]*oauth.Provider{"fake": fakeProvider(f)}}, nil)
	if part == "through changes" {
		return childThroughChanges(v, secret.String(os.Getenv(childSecret)))
	}
	login := Login{User: me, Password: secret.String(os.Getenv(childSecret)), Protocol: "imap", From: here}
	for in := bufio.NewScanner(os.Stdin); part == "for ever" || in.Scan(); {
		g, err := v.Authorize(context.Background(), login)
		if err == nil {
			err = useFromAfar(endpoint, g.AccessToken)
		}
		if err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Println(g.AccessToken.Reveal())
	}
	v.Close(context.Background())
	return 0
}

// childThroughChanges logs in until its standard input ends, while another
// process connects, disconnects and changes the mailbox. A mailbox that is missing
// for a moment is no failure; a dead grant is.
func childThroughChanges(v *Vault, password secret.String) int {
	over := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(over)
	}()
	for {
		select {
		case <-over:
			v.Close(context.Background())
			return 0
		default:
		}
		g, err := v.Authorize(context.Background(), Login{User: me, Password: password, Protocol: "imap", From: here})
		switch {
		case err == nil:
			fmt.Println(g.AccessToken.Reveal())
		case errors.Is(err, ErrBadLogin), errors.Is(err, oauth.ErrUnavailable), oauth.CauseOf(err) == oauth.CauseNoGrant:
		default:
			fmt.Println(err)
			return 1
		}
	}
}

// useFromAfar is Endpoint.Use from another process.
func useFromAfar(endpoint string, access secret.String) error {
	resp, err := http.Get(endpoint + "/use?token=" + url.QueryEscape(access.Reveal()))
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the token is not good: %s", resp.Status)
	}
	return nil
}

// start runs a child.
func (r *rig) start(part string) (*exec.Cmd, io.WriteCloser, *bufio.Scanner) {
	r.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+part, childDir+"="+r.dir, childURL+"="+r.endpoint.URL, childSecret+"="+r.password.Reveal())
	in, err := cmd.StdinPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	return cmd, in, bufio.NewScanner(out)
}

// TestTwoProcesses: of two servers over one store, one refreshes each time, and both
// have the token.
func TestTwoProcesses(t *testing.T) {
	r := newRig(t)
	r.endpoint.Rotate = true
	var cmds [2]*exec.Cmd
	var ins [2]io.WriteCloser
	var outs [2]*bufio.Scanner
	for i := range cmds {
		cmds[i], ins[i], outs[i] = r.start("by line")
	}
	for round := range 15 {
		r.age(0)
		calls := r.endpoint.Asked()
		for _, in := range ins {
			fmt.Fprintln(in, "go")
		}
		var tokens [2]string
		for i, out := range outs {
			if !out.Scan() {
				t.Fatalf("round %d: a process ended", round)
			}
			tokens[i] = out.Text()
		}
		if tokens[0] != tokens[1] || string(r.account().Token.Access) != tokens[0] {
			t.Fatalf("round %d: %q and %q", round, tokens[0], tokens[1])
		}
		if n := r.endpoint.Asked() - calls; n != 1 {
			t.Fatalf("round %d: %d calls", round, n)
		}
	}
	for i := range cmds {
		ins[i].Close()
		if err := cmds[i].Wait(); err != nil {
			t.Error(err)
		}
	}
}

// TestKilledInRefresh: a process killed at any moment of a refresh with
// rotation leaves a mailbox that works.
func TestKilledInRefresh(t *testing.T) {
	r := newRig(t)
	r.endpoint.Rotate = true
	r.endpoint.Life = 0.001 // so that each login refreshes
	for round := range 25 {
		arrived := make(chan struct{})
		left := 1 + rand.IntN(4)
		var once sync.Mutex
		r.endpoint.Does(func(http.ResponseWriter, *http.Request) bool {
			once.Lock()
			defer once.Unlock()
			if left--; left == 0 {
				close(arrived)
			}
			return false
		})
		cmd, in, out := r.start("for ever")
		said := make(chan string, 1)
		go func() {
			last := ""
			for out.Scan() {
				last = out.Text()
			}
			said <- last
		}()
		select {
		case <-arrived:
		case last := <-said:
			t.Fatalf("round %d: it ended by itself: %s", round, last)
		}
		// Any moment: in the call, in the write, in the use of the token.
		<-time.After(rand.N(6 * time.Millisecond))
		cmd.Process.Kill()
		last := <-said
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() == 1 {
			t.Fatalf("round %d: before it was killed: %s, %v", round, last, err)
		}
		in.Close()
		r.endpoint.Does(nil)
		r.endpoint.Settle(t)
		if g := r.mustAuthorize(); !r.endpoint.Use(g.AccessToken) {
			t.Fatalf("round %d: the token is not good", round)
		}
	}
	if a := r.account(); a.Dead != nil {
		t.Errorf("dead: %+v", a.Dead)
	}
}

// TestCommandLineBesideServer: a server that refreshes at every login and a command
// line that changes the mailbox lose none of each other's changes.
func TestCommandLineBesideServer(t *testing.T) {
	r := newRig(t)
	r.endpoint.Rotate = true
	r.endpoint.Life = 0.001 // so that each login refreshes
	r.revocations()
	cmd, in, out := r.start("through changes")
	logins, ended := make(chan struct{}), make(chan string, 1)
	go func() { // never in its way
		last := ""
		for out.Scan() {
			last = out.Text()
			select {
			case logins <- struct{}{}:
			default:
			}
		}
		ended <- last
	}()
	const changes = 24
	for i := range changes {
		if _, err := r.AddPassword(t.Context(), me, PasswordSpec{Name: fmt.Sprint("password ", i)}); err != nil {
			t.Fatal(err)
		}
		switch i % 4 {
		case 0:
			r.connect()
		case 1:
			if _, err := r.Remove(t.Context(), me, Removal{KeepPasswords: true}); err != nil {
				t.Fatal(err)
			}
			r.connect()
		case 2:
			if err := r.RevokePassword(t.Context(), me, fmt.Sprint("password ", i)); err != nil {
				t.Fatal(err)
			}
		case 3:
			if _, err := r.Refresh(t.Context(), me); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case <-logins:
		case last := <-ended:
			t.Fatalf("change %d: the server ended: %s", i, last)
		}
	}
	in.Close()
	last := <-ended
	if err := cmd.Wait(); err != nil {
		t.Fatal(last, err)
	}
	a := r.account()
	if want := 1 + changes - changes/4; len(a.Passwords) != want || a.Dead != nil {
		t.Errorf("%d passwords, want %d; dead: %+v", len(a.Passwords), want, a.Dead)
	}
	if g := r.mustAuthorize(); !r.endpoint.Use(g.AccessToken) {
		t.Error("the grant was lost")
	}
	// A mailbox that was removed does not return.
	if _, err := r.Remove(t.Context(), me, Removal{}); err != nil {
		t.Fatal(err)
	}
	r.want(ErrBadLogin, "no mailbox")
}
