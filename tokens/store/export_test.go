//go:build postgres

package store

import "time"

// Fixtures for the tests that need a vault. They are in package store_test, since the
// vault imports this package.
type Wire = wire

var (
	FreshPostgres = freshPostgres
	NewSeal       = newSeal
	NewWire       = newWire
	OpenTestStore = openPostgres
)

// SetDown makes the database unreachable, or reachable again.
func (w *wire) SetDown(down bool) { w.setDown(down) }

// URL returns the URL of the database behind the wire.
func (w *wire) URL() string { return w.url }

// SetWriteTime sets how long a write is retried.
func (s *Postgres) SetWriteTime(d time.Duration) { s.writeTime = d }
