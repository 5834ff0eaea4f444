//go:build postgres || acme

package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"authferry/demo"
	"authferry/internal/config"
	"authferry/internal/server"
)

// What .ci/postgres sets (AUTHFERRY_... would be the configuration's): a database of its own, and a command that takes
// "stop" and "start" to do so to its server.
const (
	postgresEnv    = "TEST_POSTGRES"
	postgresCtlEnv = "TEST_POSTGRES_CTL"
	replicasURL    = "TEST_REPLICAS"
)

// replicas are several servers over one database, behind a balancer.
type replicas struct {
	*show
	configs []string
	servers []*process
	front   *balancer
}

func newReplicas(t *testing.T) *replicas {
	t.Helper()
	freshSchema(t)
	r := &replicas{show: &show{dir: t.TempDir()}}
	var err error
	if r.gmail, err = demo.Start(demo.Options{Mailboxes: []string{demoMailbox, demoSecond}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.gmail.Close() })
	if _, err := r.configure(false); err != nil {
		t.Fatal(err)
	}
	one, err := os.ReadFile(r.configPath())
	if err != nil {
		t.Fatal(err)
	}
	r.makeSeal(t)
	for i := range 3 {
		text := strings.Replace(string(one), `store = "file:state"`,
			fmt.Sprintf("store = \"postgres:env:%s\"\nseal = \"file:seal.key\"\nstate = \"state%d\"", replicasURL, i), 1)
		// No periodic sweep: sessions end because PostgreSQL notifies the servers.
		text += "[gate]\ndelay = \"1ms\"\nfailures = 1000\n[limits]\nsweep = \"24h\"\n[log]\nformat = \"json\"\n"
		path := filepath.Join(r.dir, fmt.Sprintf("config%d.toml", i))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r.configs = append(r.configs, path)
	}
	r.connectThere(t)
	for _, path := range r.configs {
		r.servers = append(r.servers, startServe(t, r.dir, "--config", path))
	}
	r.front = newBalancer(t, r.servers)
	return r
}

// freshSchema creates an empty schema in the database of the tests, and sets
// TEST_REPLICAS to its URL.
func freshSchema(t *testing.T) {
	t.Helper()
	url := os.Getenv(postgresEnv)
	if url == "" {
		t.Fatal(postgresEnv + " does not name a PostgreSQL server; .ci/postgres starts one")
	}
	schema := strings.ToLower("r" + rand.Text())
	sql(t, url, "CREATE SCHEMA "+schema)
	t.Cleanup(func() { sql(t, url, "DROP SCHEMA "+schema+" CASCADE") })
	separator := "?"
	if strings.Contains(url, "?") {
		separator = "&"
	}
	t.Setenv(replicasURL, url+separator+"search_path="+schema)
}

// makeSeal creates the seal key of the servers with a store in a directory.
func (r *replicas) makeSeal(t *testing.T) {
	t.Helper()
	c, err := config.Load(r.configPath())
	if err != nil {
		t.Fatal(err)
	}
	vault, err := server.OpenVault(c, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if err := vault.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(r.dir, "state", "seal.key"), filepath.Join(r.dir, "seal.key")); err != nil {
		t.Fatal(err)
	}
}

// connectThere connects the mailbox in the database.
func (r *replicas) connectThere(t *testing.T) {
	t.Helper()
	c, err := config.Load(r.configs[0])
	if err != nil {
		t.Fatal(err)
	}
	vault, err := server.OpenVault(c, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	r.service = &server.Server{Vault: vault}
	if err := r.connect(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := vault.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.service = nil
}

func sql(t *testing.T, url, statement string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), statement); err != nil {
		t.Fatal(err)
	}
}

// balancer hands each connection to the next server that takes it, as it is.
type balancer struct {
	net.Listener
	next atomic.Int64
	mu   sync.Mutex
	to   []string
}

func newBalancer(t *testing.T, servers []*process) *balancer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{Listener: ln}
	for _, p := range servers {
		b.to = append(b.to, p.address("imap"))
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go b.carry(conn)
		}
	}()
	return b
}

func (b *balancer) carry(client net.Conn) {
	defer client.Close()
	for range b.to {
		b.mu.Lock()
		to := b.to[int(b.next.Add(1))%len(b.to)]
		b.mu.Unlock()
		server, err := net.Dial("tcp", to)
		if err != nil {
			continue
		}
		defer server.Close()
		go func() { io.Copy(server, client); server.(*net.TCPConn).CloseWrite() }()
		io.Copy(client, server)
		return
	}
}

// replace kills a server and starts it again, as another one.
func (r *replicas) replace(t *testing.T, i int) {
	t.Helper()
	r.servers[i].kill()
	r.servers[i] = startServe(t, r.dir, "--config", r.configs[i])
	r.front.mu.Lock()
	defer r.front.mu.Unlock()
	r.front.to[i] = r.servers[i].address("imap")
}

// command runs a command of the administrator, and returns its output.
func (r *replicas) command(args ...string) (string, error) {
	cmd := exec.Command("authferry", append(args, "--config", r.configs[0])...)
	cmd.Dir = r.dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (r *replicas) mustCommand(t *testing.T, args ...string) string {
	t.Helper()
	out, err := r.command(args...)
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return out
}

// eachSays waits until every server gives this answer to a login.
func (r *replicas) eachSays(t *testing.T, password string, want verdict) {
	t.Helper()
	for i, p := range r.servers {
		v, err := tryLogin("imap", p.address("imap"), demoMailbox, password)
		for end := time.Now().Add(patience); v != want && time.Now().Before(end); {
			v, err = tryLogin("imap", p.address("imap"), demoMailbox, password)
		}
		if v != want {
			t.Errorf("server %d: %s, %v; want %s", i, v, err, want)
		}
	}
}

// TestReplicas: three servers over one database refresh once between them, lose
// no grant when one is killed, and see each other's changes.
func TestReplicas(t *testing.T) {
	r := newReplicas(t)
	r.gmail.Faults.Rotate(true)
	password := r.password.Reveal()
	front := r.front.Addr().String()

	r.gmail.Faults.TokenDelay(300 * time.Millisecond) // until every login waits
	for range 3 {
		r.gmail.ExpireAccessTokens()
		before := r.gmail.TokenCalls("refresh_token")
		var all sync.WaitGroup
		for range 60 / slowdown {
			all.Go(func() { mustBe(t, front, password, welcomed) })
		}
		all.Wait()
		if n := r.gmail.TokenCalls("refresh_token") - before; n != 1 {
			t.Errorf("%d refreshes", n)
		}
	}

	for round := range 9 {
		r.gmail.Faults.TokenDelay(time.Duration(round) * 5 * time.Millisecond)
		r.gmail.ExpireAccessTokens()
		var all sync.WaitGroup
		for range 6 {
			all.Go(func() { // of a server that is killed, no answer
				if v, _ := tryLogin("imap", front, demoMailbox, password); v == wrong || v == needsHelp {
					t.Errorf("round %d: %s", round, v)
				}
			})
		}
		r.replace(t, round%3)
		all.Wait()
		mustBe(t, front, password, welcomed)
	}

	var sessions []*holder
	phone := strings.TrimSpace(strings.SplitN(r.mustCommand(t, "password", "add", demoMailbox, "--name", "Phone"), "\n", 2)[0])
	for _, p := range r.servers { // at once: the password is right on each of them
		h, err := hold("imap", p.address("imap"), demoMailbox, phone)
		if err != nil {
			t.Fatal(err)
		}
		defer h.close()
		sessions = append(sessions, h)
	}
	r.mustCommand(t, "password", "revoke", demoMailbox, "--name", "Phone")
	r.eachSays(t, phone, wrong)
	for i, h := range sessions {
		if err := h.ended(); err != nil {
			t.Errorf("server %d: its password is revoked: %v", i, err)
		}
	}
	r.mustCommand(t, "mailbox", "remove", demoMailbox, "--yes")
	r.eachSays(t, password, wrong)
}

func mustBe(t *testing.T, address, password string, want verdict) {
	t.Helper()
	if v, err := tryLogin("imap", address, demoMailbox, password); v != want {
		t.Errorf("%s: %v", v, err)
	}
}

// TestReplicasWithoutDatabase: while the database is stopped, logins with cached
// tokens go on and no login is refused for a wrong password; after that all is as
// before, without a restart.
func TestReplicasWithoutDatabase(t *testing.T) {
	ctl := os.Getenv(postgresCtlEnv)
	if ctl == "" {
		t.Fatal(postgresCtlEnv + " does not name a command that stops and starts the server of the tests; .ci/postgres has one")
	}
	r := newReplicas(t)
	r.gmail.Faults.Rotate(true)
	database := func(do string) {
		if out, err := exec.Command(ctl, do).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	t.Cleanup(func() { database("start") }) // for what comes after
	t.Cleanup(func() {
		for i, p := range r.servers {
			if t.Failed() {
				t.Logf("server %d said\n%s", i, p.stderr)
			}
		}
	})
	password := r.password.Reveal()
	for round := range 3 {
		r.gmail.ExpireAccessTokens()
		for range 2 { // so that each has the token that one of them got
			for _, p := range r.servers {
				mustBe(t, p.address("imap"), password, welcomed)
			}
		}
		database("stop")
		for _, p := range r.servers {
			for _, protocol := range protocols {
				mustLogin(t, protocol, p.address(protocol), demoMailbox, password)
			}
			mustBe(t, p.address("imap"), "not the password", temporary)
		}
		if out, err := r.command("password", "add", demoMailbox, "--name", "Phone"); err == nil || strings.Contains(out, "panic") {
			t.Errorf("a password was added to a store that is away: %s", out)
		}
		r.gmail.ExpireAccessTokens() // from now on no token can be refreshed
		mustBe(t, r.servers[round].address("imap"), password, temporary)
		database("start")
		r.eachSays(t, password, welcomed)
		r.eachSays(t, "not the password", wrong)
	}
}
