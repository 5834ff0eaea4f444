package proxy

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"authferry/internal/testport"
	"authferry/internal/testtls"
	"authferry/proxy/gate"
	"authferry/tokens"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// proxyProcess is a proxy in a process of its own, so that its CPU time and
// memory can be told from those of the load.
type proxyProcess struct {
	name     string
	pid      int
	plain    string // address of its listener without TLS
	tls      string // ... and with
	roots    *x509.CertPool
	password string // empty: it knows nothing of mail, and clients log in to the provider themselves
}

// childEnv makes the test binary be the proxy; its value is what to be.
const childEnv = "AUTHFERRY_BENCH_CHILD"

type childTask struct {
	Provider oauth.Endpoint
	CA       []byte
	Dir      string
}

type childReady struct {
	Plain, TLS, Password string
	CA                   []byte
}

// runAsProxy is main of the child process. It ends with its standard input.
func runAsProxy() bool {
	env := os.Getenv(childEnv)
	if env == "" {
		return false
	}
	var task childTask
	if err := json.Unmarshal([]byte(env), &task); err != nil {
		panic(err)
	}
	os.Unsetenv(childEnv)
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		panic(err)
	}
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.Lock(null), zap.InfoLevel))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(task.CA)
	vault, password, err := newVault(task.Dir, task.Provider, pool, log)
	if err != nil {
		panic(err)
	}
	age(task.Dir)
	cert, _ := testtls.LoopbackCert()
	ready := childReady{Password: password, CA: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})}
	gate := gate.New(gate.Limits{})
	for addr, security := range map[*string]Security{&ready.Plain: Plain, &ready.TLS: Implicit} {
		s := &Server{Protocol: "imap", Security: security, Hostname: "ferry.example.org", TLS: testtls.ServerTLS(),
			Vault: vault, Gate: gate, Metrics: new(Metrics), Log: log}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		*addr = ln.Addr().String()
		go s.Serve(ln)
	}
	json.NewEncoder(os.Stdout).Encode(ready)
	io.Copy(io.Discard, os.Stdin)
	return true
}

// age makes the files of a store look as if written an hour ago: the store does
// not trust its cache of a file that has only just changed.
func age(dir string) {
	then := time.Now().Add(-time.Hour)
	filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chtimes(path, then, then))
	})
}

// startChild starts this very binary as the proxy.
func startChild(b *testing.B, p *fakeProvider) *proxyProcess {
	task, _ := json.Marshal(childTask{p.endpoint(), providerPEM(), b.TempDir()})
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childEnv+"="+string(task))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { stdin.Close(); cmd.Wait() })
	var ready childReady
	if err := json.NewDecoder(stdout).Decode(&ready); err != nil {
		b.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ready.CA)
	return &proxyProcess{name: "authferry", pid: cmd.Process.Pid, plain: ready.Plain, tls: ready.TLS, roots: roots, password: ready.Password}
}

func providerPEM() []byte {
	cert, _ := testtls.LoopbackCert()
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
}

// besideEnv names a HAProxy to measure in the same run.
const besideEnv = "AUTHFERRY_BENCH_HAPROXY"

// startHAProxy starts HAProxy as a relay to the same provider: TLS to it with
// its certificate verified, plain text and TLS towards clients.
func startHAProxy(b *testing.B, p *fakeProvider) *proxyProcess {
	dir := b.TempDir()
	cert, roots := testtls.LoopbackCert()
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		b.Fatal(err)
	}
	both := append(providerPEM(), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	h := &proxyProcess{name: "haproxy", plain: testport.Free(b), tls: testport.Free(b), roots: roots}
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			b.Fatal(err)
		}
		return path
	}
	config := fmt.Sprintf(`
global
	maxconn 9000
	ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256
	ssl-default-server-ciphersuites TLS_AES_128_GCM_SHA256
defaults
	mode tcp
	timeout connect 10s
	timeout client 1h
	timeout server 1h
frontend plain
	bind %s
	default_backend provider
frontend tls
	bind %s ssl crt %s
	default_backend provider
backend provider
	server provider %s ssl verify required ca-file %s verifyhost localhost
`, h.plain, h.tls, write("both.pem", both), p.Addr(), write("ca.pem", providerPEM()))
	cmd := exec.Command(os.Getenv(besideEnv), "-db", "-f", write("haproxy.cfg", []byte(config)))
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for range 500 {
		if c, err := net.Dial("tcp", h.tls); err == nil {
			c.Close()
			h.pid = cmd.Process.Pid
			return h
		}
		time.Sleep(10 * time.Millisecond) // another program's start cannot be waited for otherwise
	}
	b.Fatal("haproxy did not start")
	return nil
}

// cpu is the processor time the process has used, kernel included, in seconds.
func (p *proxyProcess) cpu(b *testing.B) float64 {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	if err != nil {
		b.Skip("needs Linux: ", err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100 // clock ticks, on every Linux that Go runs on
}

// rss is the memory of the process, in kB.
func (p *proxyProcess) rss(b *testing.B) float64 {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		b.Skip("needs Linux: ", err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if value, ok := strings.CutPrefix(s.Text(), "VmRSS:"); ok {
			kB, _ := strconv.ParseFloat(strings.Fields(value)[0], 64)
			return kB
		}
	}
	b.Fatal("no VmRSS")
	return 0
}

// connect opens a session that is logged in.
func (p *proxyProcess) connect(security Security) (*mail, error) {
	addr, cfg := p.plain, testtls.ClientTLS()
	cfg.RootCAs = p.roots
	if security == Implicit {
		addr = p.tls
	}
	return logIn(addr, "imap", security, cfg, p.password, "")
}

// newVault is a vault with one mailbox at a provider.
func newVault(dir string, e oauth.Endpoint, pool *x509.CertPool, log *zap.Logger) (*tokens.Vault, string, error) {
	ctx := context.Background()
	seal, err := store.LoadSeal("", dir)
	if err != nil {
		return nil, "", err
	}
	store, err := store.OpenFiles(dir, seal)
	if err != nil {
		return nil, "", err
	}
	provider := oauth.Builtin()["gmail"]
	provider.IMAP, provider.POP3, provider.SMTP, provider.RootCAs = e, e, e, pool
	v := tokens.NewVault(store, tokens.Settings{Providers: map[string]*oauth.Provider{"gmail": provider}}, log)
	if err := v.Connect(ctx, tokens.Connection{Mailbox: wholeUser, Provider: "gmail", Token: &oauth.Token{
		Access: wholeToken, Refresh: "1//refresh", Minted: time.Now(), Expiry: time.Now().Add(24 * time.Hour),
		Scopes: []string{"https://mail.google.com/"},
	}}); err != nil {
		return nil, "", err
	}
	password, err := v.AddPassword(ctx, wholeUser, tokens.PasswordSpec{Name: "test"})
	return v, password.Reveal(), err
}
