package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"syscall"

	"github.com/emersion/go-smtp"
	"github.com/rogpeppe/go-internal/testscript"

	"authferry/demo"
)

type stageKey struct{}

// stage is what the commands of one script work on.
type stage struct {
	gmail     *demo.Provider
	processes map[string]*process
	held      *holder
}

func onStage(do func(*stage, *testscript.TestScript, []string) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		err := do(ts.Value(stageKey{}).(*stage), ts, args)
		if neg && err == nil {
			ts.Fatalf("it works")
		}
		if !neg {
			ts.Check(err)
		}
	}
}

func (s *stage) clear() {
	if s.held != nil {
		s.held.close()
	}
	for _, p := range s.processes {
		p.kill()
	}
	if s.gmail != nil {
		s.gmail.Close()
	}
}

func (s *stage) cmdGmail(ts *testscript.TestScript, args []string) (err error) {
	s.gmail, err = demo.Start(demo.Options{
		Mailboxes: []string{demoMailbox, demoSecond},
		Shared:    map[string][]string{demoShared: {demoMailbox}},
	})
	if err != nil {
		return err
	}
	if err := s.writeProofs(ts); err != nil {
		return err
	}
	if _, err = (&show{dir: ts.MkAbs("."), gmail: s.gmail}).configure(false); err != nil {
		return err
	}
	ts.Setenv("AUTHFERRY_CONFIG", ts.MkAbs("config.toml"))
	return s.cmdReconfigure(ts, []string{"\\z", `[gate]\ndelay = "1ms"\n`}) // wrong passwords at once
}

func (s *stage) cmdConnect(ts *testscript.TestScript, args []string) error {
	for _, word := range []func() error{
		func() error { return s.cmdBegin(ts, []string{"c", "connect", args[0], "--no-browser"}) },
		func() error { return s.cmdPaste(ts, []string{"c", args[0]}) },
		func() error { return s.cmdEnded(ts, []string{"c", "0"}) },
	} {
		if err := word(); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) cmdBegin(ts *testscript.TestScript, args []string) error {
	var env []string
	for _, name := range []string{
		"PATH", "HOME", "XDG_CONFIG_HOME", "AUTHFERRY_CONFIG", "TMPDIR", "WORK",
		"DISPLAY", "SSH_CONNECTION", "USER",
	} {
		if v := ts.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	p, err := startProcess(ts.MkAbs("."), env, args[1:]...)
	s.processes[args[0]] = p
	return err
}

func (s *stage) process(name string) (*process, error) {
	if p := s.processes[name]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("nothing called %s has begun", name)
}

func (s *stage) cmdSaid(ts *testscript.TestScript, args []string) error {
	p, err := s.process(args[0])
	if err != nil {
		return err
	}
	text := p.stderr
	if args[1] == "out" {
		text = p.stdout
	}
	_, err = text.find(args[2])
	return err
}

func (s *stage) cmdTell(ts *testscript.TestScript, args []string) error {
	p, err := s.process(args[0])
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.stdin, args[1])
	return err
}

func (s *stage) cmdHush(ts *testscript.TestScript, args []string) error {
	p, err := s.process(args[0])
	if err != nil {
		return err
	}
	return p.stdin.Close()
}

func (s *stage) cmdFault(ts *testscript.TestScript, args []string) error {
	s.fault(args[0], args[1])
	return nil
}

func (s *stage) cmdRevoked(ts *testscript.TestScript, args []string) error {
	s.gmail.RevokeGrants(args[0])
	return nil
}

// redirected returns the address that the consent page of a process redirects to.
func (s *stage) redirected(args []string) (string, *process, error) {
	p, err := s.process(args[0])
	if err != nil {
		return "", nil, err
	}
	page, err := p.stdout.find(`^http.*\n`)
	if err != nil {
		return "", nil, err
	}
	page = strings.TrimSpace(page)
	if len(args) > 2 {
		address, err := s.gmail.Deny(page, args[1])
		return address, p, err
	}
	address, err := s.gmail.Consent(page, args[1])
	return address, p, err
}

func (s *stage) cmdVisit(ts *testscript.TestScript, args []string) error {
	address, _, err := s.redirected(args)
	if err != nil {
		return err
	}
	response, err := http.Get(address)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	shown, err := io.ReadAll(response.Body)
	fmt.Fprintf(ts.Stdout(), "%s\n%s", response.Status, shown)
	return err
}

func (s *stage) cmdPaste(ts *testscript.TestScript, args []string) error {
	address, p, err := s.redirected(args)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.stdin, address)
	return err
}

var signals = map[string]syscall.Signal{
	"HUP": syscall.SIGHUP, "TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL,
}

func (s *stage) cmdSignal(ts *testscript.TestScript, args []string) error {
	p, err := s.process(args[0])
	if err != nil {
		return err
	}
	return p.signal(signals[args[1]])
}

func (s *stage) cmdEnded(ts *testscript.TestScript, args []string) error {
	p, err := s.process(args[0])
	if err != nil {
		return err
	}
	code, err := p.wait()
	if err == nil && fmt.Sprint(code) != args[1] {
		err = fmt.Errorf("exit code %d; it said\n%s", code, p.stderr)
	}
	return err
}

// cmdLogin takes a password as it is, or from a file named @file.
func (s *stage) cmdLogin(ts *testscript.TestScript, args []string) error {
	p, err := s.process(args[0])
	if err != nil {
		return err
	}
	got, err := tryLogin(args[1], p.address(args[1]), args[2], password(ts, args[3]))
	if got != verdict(args[4]) {
		return fmt.Errorf("%s instead of %s: %v", got, args[4], err)
	}
	return nil
}

func password(ts *testscript.TestScript, arg string) string {
	if file, ok := strings.CutPrefix(arg, "@"); ok {
		return strings.TrimSuffix(ts.ReadFile(file), "\n")
	}
	return arg
}

func (s *stage) cmdHold(ts *testscript.TestScript, args []string) error {
	p, err := s.process(args[0])
	if err != nil {
		return err
	}
	s.held, err = hold(args[1], p.address(args[1]), args[2], password(ts, args[3]))
	return err
}

func (s *stage) cmdHeld(ts *testscript.TestScript, args []string) error {
	if s.held == nil {
		return errors.New("nothing is held")
	}
	if len(args) > 0 {
		return s.held.ended()
	}
	return s.held.noop()
}

func (s *stage) cmdSecure(ts *testscript.TestScript, args []string) error {
	p, err := s.process(args[0])
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(ts.ReadFile(args[2]))) {
		return errors.New("no certificate in " + args[2])
	}
	address, config := p.address(args[1]), &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
	if args[1] == "smtp" {
		client, err := smtp.DialStartTLS(address, config)
		if err != nil {
			return err
		}
		return client.Close()
	}
	conn, err := tls.Dial("tcp", address, config)
	if err != nil {
		return err
	}
	return conn.Close()
}

func (s *stage) cmdTaken(ts *testscript.TestScript, args []string) error {
	p, err := s.process(args[0])
	if err != nil {
		return err
	}
	content := fmt.Sprintf("listen = [%q, \"pop3://127.0.0.1:0\", %q]\nstore = 'file:other'\n",
		"imap://"+p.address("imap"), "smtp://"+p.address("smtp"))
	return os.WriteFile(ts.MkAbs(args[1]), []byte(content), 0o600)
}

func (s *stage) cmdReconfigure(ts *testscript.TestScript, args []string) error {
	before := ts.ReadFile("config.toml")
	from, err := regexp.Compile(args[0])
	if err != nil {
		return err
	}
	after := from.ReplaceAllString(before, strings.ReplaceAll(args[1], `\n`, "\n"))
	if after == before {
		return fmt.Errorf("no %q in the configuration", args[0])
	}
	return os.WriteFile(ts.MkAbs("config.toml"), []byte(after), 0o600)
}
