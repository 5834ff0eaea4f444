//go:build systemd

// Package systemd holds the units, and the test that holds them against a real
// systemd. The test runs as root inside a container that systemd has booted:
// .ci/systemd makes one.
package systemd

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/emersion/go-imap/v2/imapclient"

	"authferry/demo"
)

const (
	mailbox    = "demo@gmail.com"
	configFile = "/etc/authferry/config.toml"
	dropIns    = "/etc/systemd/system/authferry.service.d"
	patience   = time.Minute // nothing is meant to take so long
)

// command runs a program and returns what it printed on standard output.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := attempt(name, args...)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return out
}

func attempt(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, out.String(), errs.String())
	}
	return out.String(), nil
}

// property is what systemd knows of a unit.
func property(t *testing.T, unit, name string) string {
	t.Helper()
	return strings.TrimSpace(command(t, "systemctl", "show", "--value", "-p", name, unit))
}

// until waits for a state that systemd comes to by itself.
func until(t *testing.T, what string, come func() bool) {
	t.Helper()
	for begin := time.Now(); !come(); {
		if time.Since(begin) > patience {
			t.Fatalf("in vain for: %s\n%s", what, journal(t))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func journal(t *testing.T) string {
	out, _ := attempt("journalctl", "--no-pager", "-o", "cat", "-n", "60", "-u", "authferry.service")
	return out
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// dropIn adds to the service, for one test.
func dropIn(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(dropIns, name)
	write(t, path, text, 0o644)
	t.Cleanup(func() {
		os.Remove(path)
		command(t, "systemctl", "daemon-reload")
	})
	command(t, "systemctl", "daemon-reload")
}

// gmail is the provider of all tests.
var gmail *demo.Provider

func TestMain(m *testing.M) {
	var err error
	if gmail, err = demo.Start(demo.Options{Mailboxes: []string{mailbox}}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	gmail.Close()
	os.Exit(code)
}

// configure writes the configuration. A service with a made-up user reads it as
// everybody else: the client's secret comes as a file of its own in real life.
func configure(t *testing.T, top string) {
	t.Helper()
	write(t, "/etc/authferry/gmail-ca.pem", string(gmail.CAPEM), 0o644)
	write(t, configFile, fmt.Sprintf(`%s
[provider.gmail]
auth_url = %q
token_url = %q
client_id = %q
client_secret = %q
imap = "imaps://%s"
pop3 = "pop3s://%s"
smtp = "smtps://%s"
ca_file = "gmail-ca.pem"
`, top, gmail.AuthURL, gmail.TokenURL, gmail.ClientID, gmail.ClientSecret, gmail.IMAP, gmail.POP3, gmail.SMTP), 0o644)
}

// fresh starts a test without state.
func fresh(t *testing.T, top string) {
	t.Helper()
	attempt("systemctl", "stop", "authferry.socket", "authferry.service")
	attempt("systemctl", "reset-failed", "authferry.service", "authferry.socket")
	for _, dir := range []string{"/var/lib/private/authferry", "/var/lib/authferry"} {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	configure(t, top)
}

const plainIMAP = `listen = ["imap://127.0.0.1:1143"]`

// connect gives authferry the mailbox, and returns a local password.
func connect(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("authferry", "connect", mailbox, "--provider", "gmail", "--no-browser")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var url string
	if _, err := fmt.Fscanln(out, &url); err != nil {
		t.Fatalf("no consent page: %v\n%s", err, errs.String())
	}
	redirected, err := gmail.Consent(url, mailbox)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(in, redirected)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("connect: %v\n%s", err, errs.String())
	}
	return strings.TrimSpace(command(t, "authferry", "password", "add", mailbox, "--name", "Test"))
}

// login logs in at an address in the clear.
func login(address, password string) (*imapclient.Client, error) {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(patience))
	c := imapclient.New(conn, nil)
	if err := c.Login(mailbox, password).Wait(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func mustLogin(t *testing.T, address, password string) *imapclient.Client {
	t.Helper()
	c, err := login(address, password)
	if err != nil {
		t.Fatalf("logging in: %v\n%s", err, journal(t))
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestUnitsAreClean(t *testing.T) {
	if out, err := attempt("systemd-analyze", "verify", "--man=no", "authferry.service", "authferry.socket"); err != nil || out != "" {
		t.Errorf("systemd-analyze verify: %v %s", err, out)
	}
	out := command(t, "systemd-analyze", "security", "--no-pager", "authferry.service")
	m := regexp.MustCompile(`Overall exposure level for authferry\.service: ([0-9.]+)`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no score in\n%s", out)
	}
	score, err := strconv.ParseFloat(m[1], 64)
	if err != nil || score >= 1.5 {
		t.Errorf("systemd-analyze security gives %s; below 1.5 is wanted", m[1])
	}
	t.Logf("exposure %s", m[1])
}

// TestWithoutAConfiguration: installed and enabled, it waits to be configured.
func TestWithoutAConfiguration(t *testing.T) {
	fresh(t, plainIMAP)
	if err := os.Remove(configFile); err != nil {
		t.Fatal(err)
	}
	command(t, "systemctl", "start", "authferry.service")
	if state := property(t, "authferry.service", "ActiveState"); state != "inactive" {
		t.Errorf("without a configuration it is %s", state)
	}
	configure(t, "listen = [\"nowhere\"]")
	if _, err := attempt("systemctl", "start", "authferry.service"); err == nil {
		t.Error("a wrong configuration was served")
	}
	if n := property(t, "authferry.service", "NRestarts"); n != "0" {
		t.Errorf("a wrong configuration was tried again %s times", n)
	}
	if !strings.Contains(journal(t), "not a listen URL") {
		t.Errorf("the journal does not say what is wrong:\n%s", journal(t))
	}
}

// TestLife: start is ready, root's commands work beside a user of its own, reload
// drops nobody, and stop is clean.
func TestLife(t *testing.T) {
	fresh(t, plainIMAP)
	command(t, "systemctl", "start", "authferry.service") // returns once READY=1 has come
	if conn, err := net.Dial("tcp", "127.0.0.1:1143"); err != nil {
		t.Errorf("ready, and nobody accepts: %v", err)
	} else {
		conn.Close()
	}
	password := connect(t)
	c := mustLogin(t, "127.0.0.1:1143", password)

	pid := property(t, "authferry.service", "MainPID")
	owner := ownerOf(t, "/proc/"+pid)
	if owner == 0 {
		t.Error("it runs as root")
	}
	err := filepath.WalkDir("/var/lib/private/authferry", func(path string, _ os.DirEntry, err error) error {
		if err == nil && ownerOf(t, path) != owner {
			t.Errorf("%s belongs to %d, not to %d", path, ownerOf(t, path), owner)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}

	// A wrong configuration: reload fails, tells why, and nothing changes.
	configure(t, "listen = [\"nowhere\"]")
	if _, err := attempt("systemctl", "reload", "authferry.service"); err == nil {
		t.Error("a wrong configuration was reloaded")
	}
	if !strings.Contains(journal(t), "not a listen URL") {
		t.Errorf("the journal does not say what is wrong:\n%s", journal(t))
	}
	configure(t, `listen = ["imap://127.0.0.1:1143", "imap://127.0.0.1:2143"]`)
	command(t, "systemctl", "reload", "authferry.service")
	mustLogin(t, "127.0.0.1:2143", password)
	if err := c.Noop().Wait(); err != nil {
		t.Errorf("the session did not live through the reload: %v", err)
	}
	if now := property(t, "authferry.service", "MainPID"); now != pid {
		t.Error("reload made a new process")
	}
	if out := command(t, "authferry", "who"); !strings.Contains(out, "Test") {
		t.Errorf("who says\n%s", out)
	}
	command(t, "systemctl", "stop", "authferry.service")
	if result := property(t, "authferry.service", "Result"); result != "success" {
		t.Errorf("stopped with %s\n%s", result, journal(t))
	}
}

func ownerOf(t *testing.T, path string) uint32 {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Uid
}

// TestSockets: systemd holds the sockets, starts the service at the first
// connection, and nobody is refused while it restarts.
func TestSockets(t *testing.T) {
	write(t, "/etc/systemd/system/authferry.socket.d/test.conf",
		"[Socket]\nListenStream=\nListenStream=127.0.0.1:143\n", 0o644)
	t.Cleanup(func() {
		attempt("systemctl", "stop", "authferry.socket", "authferry.service")
		os.RemoveAll("/etc/systemd/system/authferry.socket.d")
		command(t, "systemctl", "daemon-reload")
	})
	command(t, "systemctl", "daemon-reload")
	fresh(t, `listen = ["imap+systemd:authferry:143"]
drain = "1s"`)
	command(t, "systemctl", "start", "authferry.socket")
	if state := property(t, "authferry.service", "ActiveState"); state != "inactive" {
		t.Fatalf("the service is %s before anybody came", state)
	}
	greet(t, "127.0.0.1:143") // which starts it
	password := connect(t)
	mustLogin(t, "127.0.0.1:143", password).Logout().Wait()

	stop := make(chan struct{})
	var greeted int
	var knocking sync.WaitGroup
	knocking.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				greet(t, "127.0.0.1:143")
				greeted++
			}
		}
	})
	pid := property(t, "authferry.service", "MainPID")
	for range 3 {
		command(t, "systemctl", "restart", "authferry.service")
	}
	close(stop)
	knocking.Wait()
	if now := property(t, "authferry.service", "MainPID"); now == pid {
		t.Error("restart made no new process")
	}
	t.Logf("%d connections during three restarts, all greeted", greeted)
	mustLogin(t, "127.0.0.1:143", password)

	// Reload keeps a socket that systemd holds.
	command(t, "systemctl", "reload", "authferry.service")
	mustLogin(t, "127.0.0.1:143", password)

	// A socket that the configuration does not name would take connections that
	// nobody answers.
	configure(t, plainIMAP)
	if _, err := attempt("systemctl", "restart", "authferry.service"); err == nil {
		t.Error("a socket that nobody listens on was accepted")
	}
	if !strings.Contains(journal(t), "imap+systemd:authferry") {
		t.Errorf("the journal does not say what to write:\n%s", journal(t))
	}
}

// greet waits for the greeting of a server.
func greet(t *testing.T, address string) {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		t.Errorf("nobody holds %s: %v", address, err)
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	var b [4]byte
	if _, err := conn.Read(b[:]); err != nil || string(b[:]) != "* OK" {
		t.Errorf("greeted with %q, %v", b, err)
	}
}

// TestWatchdog: a process that has stopped is replaced.
func TestWatchdog(t *testing.T) {
	dropIn(t, "watchdog.conf", "[Service]\nWatchdogSec=2\n")
	fresh(t, plainIMAP)
	command(t, "systemctl", "start", "authferry.service")
	password := connect(t)
	pid := property(t, "authferry.service", "MainPID")
	command(t, "kill", "-STOP", pid)
	until(t, "a new process after a stopped one", func() bool {
		now := property(t, "authferry.service", "MainPID")
		return now != pid && now != "0" && property(t, "authferry.service", "SubState") == "running"
	})
	mustLogin(t, "127.0.0.1:1143", password)
	if !strings.Contains(command(t, "journalctl", "--no-pager", "-u", "authferry.service"), "Watchdog timeout") {
		t.Errorf("it was not the watchdog:\n%s", journal(t))
	}
	// A healthy process reports to the watchdog for longer than the watchdog's time.
	pid = property(t, "authferry.service", "MainPID")
	first := lastReport(t)
	until(t, "reports to the watchdog over 5 seconds", func() bool { return lastReport(t) >= first+5*time.Second })
	if now := property(t, "authferry.service", "MainPID"); now != pid {
		t.Errorf("the watchdog replaced a healthy process:\n%s", journal(t))
	}
}

// lastReport returns when the service last reported to the watchdog, since the boot.
func lastReport(t *testing.T) time.Duration {
	t.Helper()
	microseconds, err := strconv.ParseInt(property(t, "authferry.service", "WatchdogTimestampMonotonic"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(microseconds) * time.Microsecond
}

// TestCredentials: the key of the seal from a credential, plain and encrypted.
func TestCredentials(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, line, file string }{
		{"plain", "LoadCredential", "/etc/authferry/seal.key"},
		{"encrypted", "LoadCredentialEncrypted", "/etc/authferry/seal.key.cred"},
	} {
		t.Run(test.name, func(t *testing.T) {
			fresh(t, plainIMAP+"\nseal = \"credential:seal.key\"")
			write(t, "/etc/authferry/seal.key", key.String()+"\n", 0o600)
			if test.name == "encrypted" {
				command(t, "systemd-creds", "encrypt", "--with-key=host", "--name=seal.key", "/etc/authferry/seal.key", test.file)
				if err := os.Remove("/etc/authferry/seal.key"); err != nil {
					t.Fatal(err)
				}
			}
			dropIn(t, "seal.conf", "[Service]\n"+test.line+"=seal.key:"+test.file+"\n")
			command(t, "systemctl", "start", "authferry.service")
			password := connect(t) // by root, who borrows the service's credentials
			mustLogin(t, "127.0.0.1:1143", password)
			if _, err := os.Stat("/var/lib/private/authferry/seal.key"); err == nil {
				t.Error("there is a key beside the mailboxes")
			}
		})
	}
}

// TestSandbox: what the process may not do, tried from inside its namespaces.
func TestSandbox(t *testing.T) {
	fresh(t, plainIMAP)
	command(t, "systemctl", "start", "authferry.service")
	pid := property(t, "authferry.service", "MainPID")
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(string(status), line+"\n") {
			t.Errorf("no %q in\n%s", line, status)
		}
	}
	for _, path := range []string{"/etc/authferry/new", "/usr/bin/new", "/var/lib/new", "/root/new", "/home/new"} {
		if out, err := attempt("nsenter", "-t", pid, "-m", "touch", path); err == nil {
			t.Errorf("it could make %s: %s", path, out)
		}
	}
	if out, err := attempt("nsenter", "-t", pid, "-m", "touch", "/var/lib/authferry/probe"); err != nil {
		t.Errorf("it cannot write its own state: %s %v", out, err)
	}
}
