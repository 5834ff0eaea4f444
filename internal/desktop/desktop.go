// Package desktop finds out whether a browser can be opened here, opens one, and
// says how a browser on another machine reaches this one.
package desktop

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"runtime"
	"strings"

	"github.com/cli/browser"
)

// Desktop describes the session that a command runs in.
type Desktop struct {
	display bool // windows can be shown
	ssh     bool // the session comes from another machine

	// How that machine reaches this one.
	user, host, sshPort string
}

// Detect reads the session from the environment.
func Detect() Desktop {
	d := Desktop{display: true, user: os.Getenv("USER")}
	if name := os.Getenv("SUDO_USER"); name != "" {
		d.user = name
	}
	switch runtime.GOOS {
	case "windows", "darwin", "ios", "android", "plan9":
	default: // systems with X11 or Wayland
		d.display = os.Getenv("DISPLAY") != "" || os.Getenv("WAYLAND_DISPLAY") != ""
	}
	// sshd(8): the client's address and port, then the server's.
	if parts := strings.Fields(os.Getenv("SSH_CONNECTION")); len(parts) == 4 {
		d.ssh, d.host, d.sshPort = true, parts[2], parts[3]
	} else if name, err := os.Hostname(); err == nil {
		d.host = name
	}
	if d.host == "" {
		d.host = "this-machine"
	}
	return d
}

// Headless reports whether a browser opened here would be visible to no one. A
// display counts more than ssh: it may be forwarded, and SSH_CONNECTION may be
// left from a terminal session that was opened yesterday.
func (d Desktop) Headless() bool {
	switch runtime.GOOS {
	case "windows", "darwin":
		return d.ssh
	}
	return !d.display
}

// Tunnel returns the ssh command that forwards a loopback redirect from a machine
// with a browser to this one.
func (d Desktop) Tunnel(redirect string) string {
	u, err := url.Parse(redirect)
	if err != nil { // authferry made it
		return ""
	}
	host := u.Hostname()
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if host == "::1" {
		host = "[::1]"
	}
	command := fmt.Sprintf("ssh -N -L %s:%s:%s", u.Port(), host, u.Port())
	if d.sshPort != "" && d.sshPort != "22" {
		command += " -p " + d.sshPort
	}
	if d.user != "" {
		return command + " " + d.user + "@" + d.host
	}
	return command + " " + d.host
}

// OpenBrowser opens a page and calls failed if that does not work. It does not
// wait: some openers return only when the browser is closed.
func OpenBrowser(page string, failed func(error)) {
	// Standard output is the command's: the browser's messages do not belong there.
	browser.Stdout, browser.Stderr = io.Discard, io.Discard
	go func() {
		if err := browser.OpenURL(page); err != nil {
			failed(err)
		}
	}()
}
