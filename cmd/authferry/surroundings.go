package main

import (
	"os"
	"runtime"
	"strings"
)

// surrounding is where this runs, as far as it matters to a person who has to
// open a page.
type surrounding struct {
	display bool // for windows to show up on
	ssh     bool // somebody is logged in from another machine

	// How that machine gets here.
	user, host, sshPort string
}

func surroundings() surrounding {
	s := surrounding{display: true, user: os.Getenv("USER")}
	if asRoot := os.Getenv("SUDO_USER"); asRoot != "" {
		s.user = asRoot
	}
	switch runtime.GOOS {
	case "windows", "darwin", "ios", "android", "plan9":
	default: // systems with X11 or Wayland
		s.display = os.Getenv("DISPLAY") != "" || os.Getenv("WAYLAND_DISPLAY") != ""
	}
	// sshd: the client's address and port, and then ours.
	if parts := strings.Fields(os.Getenv("SSH_CONNECTION")); len(parts) == 4 {
		s.ssh, s.host, s.sshPort = true, parts[2], parts[3]
	} else if name, err := os.Hostname(); err == nil {
		s.host = name
	}
	if s.host == "" {
		s.host = "this-machine"
	}
	return s
}

// headless tells whether a browser opened here would show up before nobody. A
// display speaks louder than ssh: it may be forwarded, and SSH_CONNECTION may
// be that of a terminal left open yesterday.
func (s surrounding) headless() bool {
	switch runtime.GOOS {
	case "windows", "darwin":
		return s.ssh
	}
	return !s.display
}
