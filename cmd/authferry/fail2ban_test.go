//go:build fail2ban

package main

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"authferry/demo"
	"authferry/internal/config"
	"authferry/internal/server"
	"authferry/internal/testport"
)

// knock is a login through a load balancer, which names the client's address.
type knock struct {
	from, user, password string // no password: the right one
	hear                 string // how the answer begins; empty: turned away
	counts               bool   // for fail2ban
}

// hostile is a user name that would pass for the end of one line and another.
const hostile = `x@y","outcome":"bad login"}` + "\r" + `{"level":"info","msg":"login refused","protocol":"imap","client":"198.51.100.66:1","outcome":"bad login"}`

var knocks = []knock{
	{"192.0.2.7", demoMailbox, "", "235", false},
	{"192.0.2.7", demoMailbox, "wrong one", "535", true},
	{"192.0.2.7", "hunter2", "wrong two", "535", true},
	{"2001:db8::7", "nobody@example.org", "wrong", "535", true},
	{"192.0.2.8", hostile, "wrong", "535", true},
	{"192.0.2.9", demoMailbox, "first", "535", true},
	{"192.0.2.9", demoMailbox, "second", "535", true},
	{"192.0.2.9", demoMailbox, "third", "454", true}, // too many
	{"203.0.113.1", demoMailbox, "wrong", "", false}, // not in allow
	{"127.0.0.1", demoMailbox, "first", "535", false},
	{"127.0.0.1", demoMailbox, "second", "535", false},
	{"127.0.0.1", demoMailbox, "third", "454", false},
	{"::1", demoMailbox, "wrong", "535", false},
}

func (k *knock) try(address, right string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	family, local := "TCP4", "127.0.0.1"
	if netip.MustParseAddr(k.from).Is6() {
		family, local = "TCP6", "::1"
	}
	password := k.password
	if password == "" {
		password = right
	}
	fmt.Fprintf(conn, "PROXY %s %s %s 56324 587\r\n", family, k.from, local)
	if k.hear == "" {
		_, err := io.ReadAll(conn)
		return err
	}
	r := bufio.NewReader(conn)
	if _, err := r.ReadString('\n'); err != nil { // the greeting
		return err
	}
	fmt.Fprintf(conn, "AUTH PLAIN %s\r\n", base64.StdEncoding.EncodeToString([]byte("\x00"+k.user+"\x00"+password)))
	answer, err := r.ReadString('\n')
	if err == nil && !strings.HasPrefix(answer, k.hear) {
		err = fmt.Errorf("%+v: answered %q", k, answer)
	}
	return err
}

// fail2banLog tries all knocks at a process that logs in a format, and returns its
// log.
func fail2banLog(t *testing.T, format string) string {
	s := &show{dir: t.TempDir()}
	var err error
	if s.gmail, err = demo.Start(demo.Options{Mailboxes: []string{demoMailbox}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close() })
	if _, err := s.configure(false); err != nil {
		t.Fatal(err)
	}
	address := testport.Free(t)
	amend(t, s.configPath(), fmt.Sprintf(`[[listener]]
url = "smtp://%s"
proxy_protocol = ["127.0.0.1"]
allow = ["192.0.2.0/24", "2001:db8::/32"]
[gate]
delay = "1ms"
failures = 2
[log]
level = "debug"
format = %q
`, address, format))
	c, err := config.Load(s.configPath())
	if err != nil {
		t.Fatal(err)
	}
	if s.service, err = server.Start(c, zap.NewNop(), zap.NewAtomicLevel()); err != nil {
		t.Fatal(err)
	}
	if err := s.connect(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := s.service.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.service = nil
	p := startServe(t, s.dir, "--config", s.configPath())
	for _, k := range knocks {
		if err := k.try(address, s.password.Reveal()); err != nil {
			t.Error(err)
		}
	}
	if err := p.signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if _, err := p.wait(); err != nil {
		t.Fatal(err)
	}
	return p.stderr.String()
}

// banned lists the addresses that fail2ban's filter finds in a log, one for each
// line that counts.
func banned(t *testing.T, log string) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(file, []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	filter, err := filepath.Abs("../../docs/fail2ban/filter.d/authferry.conf")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("fail2ban-regex", "-o", "ip", file, filter).Output()
	if err != nil && len(out) == 0 {
		t.Fatal(err)
	}
	found := strings.Fields(string(out))
	slices.Sort(found)
	return found
}

func TestFail2banFilter(t *testing.T) {
	var want []string
	for _, k := range knocks {
		if k.counts {
			want = append(want, k.from)
		}
	}
	slices.Sort(want)
	for _, format := range []string{"json", "console"} {
		log := fail2banLog(t, format)
		var journal strings.Builder
		for line := range strings.Lines(log) {
			journal.WriteString("2026-11-21T09:00:00.123456+00:00 mail authferry[4711]: " + line)
		}
		for name, lines := range map[string]string{"file": log, "journal": journal.String()} {
			if diff := cmp.Diff(want, banned(t, lines)); diff != "" {
				t.Errorf("%s in a %s: %s\n%s", format, name, diff, lines)
			}
		}
	}
}

// TestFail2banJail: fail2ban takes the jail, with its own configuration around it.
func TestFail2banJail(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "fail2ban")
	if err := os.CopyFS(dir, os.DirFS("/etc/fail2ban")); err != nil {
		t.Fatal(err)
	}
	// Jails that the distribution enables need logs that may not exist here.
	if err := os.RemoveAll(filepath.Join(dir, "jail.d")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS("../../docs/fail2ban")); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("fail2ban-client", "-c", dir, "-t").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	out, err := exec.Command("fail2ban-client", "-c", dir, "-d").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "'add', 'authferry', 'systemd'") || !strings.Contains(string(out), "_SYSTEMD_UNIT=authferry.service") {
		t.Errorf("%v: %s", err, out)
	}
}
