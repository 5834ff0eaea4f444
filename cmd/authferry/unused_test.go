package main

import (
	"os"
	"path/filepath"
	"testing"

	"authferry/internal/config"
	"authferry/internal/server"
)

// TestUnusedSeesTheLock: a server without a socket, or before it has one, is found by
// its lock; the search leaves no file behind.
func TestUnusedSeesTheLock(t *testing.T) {
	c := &config.Config{StateDir: t.TempDir()}
	if err := unused(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(c.StateDir, server.ServeLock)); !os.IsNotExist(err) {
		t.Errorf("looking made a lock: %v", err)
	}
	release, err := server.HoldStore(c.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	if unused(t.Context(), c) == nil {
		t.Error("a store that is held counts as unused")
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time shows that the search holds no lock
		if err := unused(t.Context(), c); err != nil {
			t.Error(err)
		}
	}
	release, err = server.HoldStore(c.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
}
