//go:build realmail

package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	mailPHP  = "/usr/share/php/libphp-phpmailer/src"
	mailJava = "/usr/share/java/jakarta-mail.jar:/usr/share/java/jakarta-activation.jar"
)

// needs are the programs that run a kind of block in docs/clients.md, and the others
// that must be on the machine.
var needs = map[string][]string{
	"sh":     {"curl"},
	"python": {"python3"},
	"php":    {"php", mailPHP},
	"java":   {"java", "javac", "/usr/share/java/jakarta-mail.jar", "/usr/share/java/jakarta-activation.jar"},
}

// TestDocumentedPrograms runs the programs of docs/clients.md, with the demo's
// addresses and password in place of theirs. See .ci/realmail.
func TestDocumentedPrograms(t *testing.T) {
	text, err := os.ReadFile("../../docs/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	s, _ := newShow(t)
	words := []string{"you@gmail.com", demoMailbox, "127.0.0.1", "127.0.0.1",
		"abcd efgh jkmn pqrs", s.password.Reveal(), "abcdefghjkmnpqrs", strings.ReplaceAll(s.password.Reveal(), " ", "")}
	for protocol, port := range map[string]string{"imap": "1143", "pop3": "1110", "smtp": "1587"} {
		_, ours, err := net.SplitHostPort(s.address(protocol))
		if err != nil {
			t.Fatal(err)
		}
		words = append(words, port, ours)
	}
	ours, seen := strings.NewReplacer(words...), 0
	for _, b := range readManual("clients.md", string(text)).blocks {
		if needs[b.kind] == nil {
			continue
		}
		seen++
		t.Run(b.kind, func(t *testing.T) { runBlock(t, b.kind, ours.Replace(b.text)) })
	}
	if seen != 5 {
		t.Errorf("%d programs found, not 5", seen)
	}
}

func runBlock(t *testing.T, kind, source string) {
	for _, p := range needs[kind] {
		_, missing := exec.LookPath(p)
		if filepath.IsAbs(p) {
			_, missing = os.Stat(p)
		}
		if missing != nil {
			t.Fatal(missing)
		}
	}
	dir := t.TempDir()
	file := filepath.Join(dir, map[string]string{"sh": "a.sh", "python": "a.py", "php": "a.php", "java": "Hello.java"}[kind])
	if err := os.MkdirAll(filepath.Join(dir, "vendor"), 0o700); err != nil {
		t.Fatal(err)
	}
	autoload := "<?php foreach (['Exception', 'PHPMailer', 'SMTP'] as $class) require '" + mailPHP + "/' . $class . '.php';"
	for name, text := range map[string]string{file: source, filepath.Join(dir, "vendor/autoload.php"): autoload} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := map[string][]string{"sh": {"sh", "-e", file}, "python": {"python3", file}, "php": {"php", file},
		"java": {"java", "-cp", mailJava, file}}[kind]
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, run[0], run[1:]...)
	cmd.Dir = dir
	cmd.Env = append(cmd.Environ(), "no_proxy=127.0.0.1", "NO_PROXY=127.0.0.1") // curl takes a proxy to loopback too
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(run, " "), err, out)
	}
	if strings.Contains(string(out), "Warning") || strings.Contains(string(out), "Fatal") {
		t.Errorf("%s", out) // PHP's exit code is 0 all the same
	}
}
