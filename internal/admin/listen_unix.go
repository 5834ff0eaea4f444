//go:build unix

package admin

import (
	"net"
	"os"
	"path/filepath"
)

// listenPrivately makes a socket that no other user can open at any moment: it is
// made in a new directory of mode 0700, then moved. (A umask would apply to the
// whole process.)
func listenPrivately(path string) (net.Listener, error) {
	dir, err := os.MkdirTemp(filepath.Dir(path), ".a")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	made := filepath.Join(dir, "s")
	ln, err := net.Listen("unix", made)
	if err != nil {
		return nil, err
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := os.Chmod(made, 0o600); err != nil {
		ln.Close()
		return nil, err
	}
	if err := os.Rename(made, path); err != nil {
		ln.Close()
		return nil, err
	}
	return moved{ln, path}, nil
}

// moved is a listener whose socket was moved to path. Close removes it there.
type moved struct {
	net.Listener
	path string
}

func (m moved) Addr() net.Addr { return &net.UnixAddr{Name: m.path, Net: "unix"} }

func (m moved) Close() error {
	err := m.Listener.Close()
	os.Remove(m.path)
	return err
}
