package testport

import (
	"net"
	"testing"
)

// TestRefused takes a hundred ports as other processes do, which must not
// include the one that refuses.
func TestRefused(t *testing.T) {
	address := Refused(t)
	for range 100 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
	}
	if ln, err := net.Listen("tcp", address); err == nil {
		ln.Close()
		t.Error("its port can be listened on")
	}
	if conn, err := net.Dial("tcp", address); err == nil {
		conn.Close()
		t.Error("it takes a connection")
	}
}

func TestFree(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		address := Free(t)
		if seen[address] {
			t.Fatalf("%s comes twice", address)
		}
		seen[address] = true
		ln, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
	}
}
