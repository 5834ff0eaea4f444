//go:build docker

// Package docker holds the image, and the test that runs it on a real engine
// beside an application: .ci/docker has one ready.
package docker

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	mailbox  = "demo@gmail.com"
	patience = 2 * time.Minute // nothing is meant to take so long
)

// engine is the program that talks to it.
func engine(ctx context.Context, args ...string) *exec.Cmd {
	name := os.Getenv("DOCKER")
	if name == "" {
		name = "docker"
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "DOCKER_BUILDKIT=1")
	return cmd
}

// attempt runs a command of the engine and returns what it printed.
func attempt(t *testing.T, args ...string) (out string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := engine(ctx, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("docker %s: %w\n%s%s", strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return strings.TrimSpace(stdout.String()), nil
}

func docker(t *testing.T, args ...string) string {
	t.Helper()
	out, err := attempt(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// image builds an image around a program of this module.
func image(t *testing.T, name, program, dockerfile string, args ...string) {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, filepath.Base(program)), program)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	docker(t, append(append([]string{"build", "-q", "-f", dockerfile, "-t", name}, args...), dir)...)
	t.Cleanup(func() { docker(t, "rmi", "-f", name) })
}

// TestSidecar: the image, locked up as it can be, configured by the environment,
// serves an application that shares nothing with it but the loopback.
func TestSidecar(t *testing.T) {
	run := "authferry-test-" + strings.ToLower(rand.Text()[:8])
	image(t, run, "./cmd/authferry", "Dockerfile", "--build-arg", "BINARY=prebuilt", "--build-arg", "VERSION=1.2.3")
	other := filepath.Join(t.TempDir(), "Dockerfile")
	write(t, other, "FROM scratch\nCOPY sidecar /\nENTRYPOINT [\"/sidecar\"]\n")
	image(t, run+"-others", "./packaging/docker/sidecar", other)
	checkImage(t, run)

	p := startProvider(t, run)
	secrets := t.TempDir()
	if err := os.Chmod(secrets, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(secrets, "ca.pem"), strings.ReplaceAll(p.variables["CA_FILE"], "|", "\n"))
	write(t, filepath.Join(secrets, "client_secret"), p.variables["CLIENT_SECRET"]+"\n")
	args := []string{
		"run", "-d", "--name", run, "--network", "container:" + run + "-provider",
		"--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--memory=64m",
		"--health-interval=1s", "-v", run + ":/var/lib/authferry", "-v", secrets + ":/run/secrets:ro",
		"-e", "AUTHFERRY_PROVIDER_GMAIL_CA_FILE=/run/secrets/ca.pem",
		"-e", "AUTHFERRY_PROVIDER_GMAIL_CLIENT_SECRET_FILE=/run/secrets/client_secret",
		"-e", "AUTHFERRY_DRAIN=1s",
	}
	for _, key := range []string{"AUTH_URL", "TOKEN_URL", "CLIENT_ID", "IMAP", "POP3", "SMTP"} {
		args = append(args, "-e", "AUTHFERRY_PROVIDER_GMAIL_"+key+"="+p.variables[key])
	}
	t.Cleanup(func() {
		attempt(t, "rm", "-f", run)
		docker(t, "volume", "rm", run)
	})
	docker(t, append(args, run)...)
	healthy(t, run)

	password := p.connect(t, run)
	application := []string{"run", "--rm", "--network", "container:" + run, "--read-only", "--cap-drop=ALL", run + "-others", "application", mailbox}
	docker(t, append(application, password)...)
	if _, err := attempt(t, append(application, "not the password")...); err == nil || !strings.Contains(err.Error(), "AUTHENTICATIONFAILED") {
		t.Errorf("a wrong password: %v", err)
	}
	if out := docker(t, "diff", run); out != "A /run\nA /run/secrets" { // where the secrets are mounted
		t.Errorf("it changed its image:\n%s", out)
	}

	// Another container with the same volume goes on where this one ended.
	docker(t, "stop", "-t", "30", run)
	if code := docker(t, "inspect", "-f", "{{.State.ExitCode}}", run); code != "0" {
		t.Errorf("stopped with %s\n%s", code, logs(t, run))
	}
	log := logs(t, run)
	for _, secret := range []string{p.variables["CLIENT_SECRET"], password} {
		if strings.Contains(log, secret) {
			t.Errorf("a secret is in the log:\n%s", log)
		}
	}
	docker(t, "rm", run)
	docker(t, append(args, run)...)
	healthy(t, run)
	docker(t, append(application, password)...)
	docker(t, "stop", "-t", "30", run)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func logs(t *testing.T, name string) string {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := engine(ctx, "logs", name).CombinedOutput()
	if err != nil {
		t.Error(err)
	}
	return string(out)
}

// checkImage looks at what the image says of itself and what is in it.
func checkImage(t *testing.T, name string) {
	t.Helper()
	var images []struct {
		Size   int64
		Config struct {
			User, StopSignal string
			Labels           map[string]string
			Healthcheck      struct{ Test []string }
			Volumes          map[string]any
		}
	}
	if err := json.Unmarshal([]byte(docker(t, "image", "inspect", name)), &images); err != nil {
		t.Fatal(err)
	}
	c := images[0].Config
	if c.User != "65532:65532" || c.StopSignal != "SIGTERM" || c.Labels["org.opencontainers.image.version"] != "1.2.3" ||
		!slices.Contains(c.Healthcheck.Test, "health") || c.Volumes["/var/lib/authferry"] == nil {
		t.Errorf("%+v", c)
	}
	t.Logf("the image has %.1f MB", float64(images[0].Size)/1e6)
	if out := docker(t, "run", "--rm", "--network=none", "--read-only", "--cap-drop=ALL", name, "version"); !strings.HasPrefix(out, "authferry ") {
		t.Errorf("version says %q", out)
	}
	// The whole product, without a configuration: what is meant by trying it.
	if out, err := attempt(t, "run", "--rm", "--network=none", "--tmpfs=/tmp", name, "demo", "--check"); err != nil {
		t.Errorf("%s %v", out, err)
	}
}

// healthy waits for the engine to find that it is.
func healthy(t *testing.T, name string) {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		state := docker(t, "inspect", "-f", "{{.State.Status}} {{.State.Health.Status}}", name)
		if state == "running healthy" {
			return
		}
		if time.Since(begin) > patience || strings.HasPrefix(state, "exited") {
			t.Fatalf("it is %s\n%s\n%s", state, docker(t, "inspect", "-f", "{{json .State.Health}}", name), logs(t, name))
		}
	}
}

// provider is the container of the simulated Gmail, and its standard streams.
type provider struct {
	variables map[string]string
	in        io.Writer
	out       *bufio.Scanner
}

func startProvider(t *testing.T, run string) *provider {
	t.Helper()
	cmd := engine(t.Context(), "run", "-i", "--rm", "--name", run+"-provider", "--network=none", run+"-others", "provider")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		attempt(t, "rm", "-f", run+"-provider")
		cmd.Wait() // it was killed
	})
	p := &provider{map[string]string{}, in, bufio.NewScanner(out)}
	for p.out.Scan() && p.out.Text() != "" {
		name, value, _ := strings.Cut(p.out.Text(), "=")
		p.variables[name] = value
	}
	if p.variables["IMAP"] == "" {
		t.Fatal("the provider did not start")
	}
	return p
}

// connect gives authferry the mailbox as an administrator does, by `docker exec`,
// and returns a local password.
func (p *provider) connect(t *testing.T, run string) string {
	t.Helper()
	cmd := engine(t.Context(), "exec", "-i", run, "authferry", "connect", mailbox, "--no-browser")
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
	pages := bufio.NewScanner(out)
	if !pages.Scan() {
		t.Fatalf("no consent page: %v\n%s", cmd.Wait(), errs.String())
	}
	fmt.Fprintln(p.in, pages.Text())
	if !p.out.Scan() {
		t.Fatal("the provider is gone")
	}
	fmt.Fprintln(in, p.out.Text())
	if err := cmd.Wait(); err != nil {
		t.Fatalf("connect: %v\n%s", err, errs.String())
	}
	return docker(t, "exec", run, "authferry", "password", "add", mailbox, "--name", "Application")
}
