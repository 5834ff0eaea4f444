package alert

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"authferry/internal/atomicfile"
)

// ledgerFile is where a ledger lies in a store directory; mailboxes have a
// directory of their own beside it.
func ledgerFile(dir string) string { return filepath.Join(dir, "alerts.json") }

// mostLedger bounds what is read: 300 bytes each for far more mailboxes than
// one server has.
const mostLedger = 64 << 20

// readLedger reads what was said; where there is nothing yet, nothing was.
func readLedger(dir string) (*ledger, error) {
	l := &ledger{Version: ledgerVersion, Groups: map[string]*group{}}
	info, err := os.Stat(ledgerFile(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err == nil && info.Size() > mostLedger {
		err = fmt.Errorf("it has %d bytes", info.Size())
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(ledgerFile(dir))
	}
	if err == nil {
		return decodeLedger(data)
	}
	return l, fmt.Errorf("reading %s: %w", ledgerFile(dir), err)
}

func decodeLedger(data []byte) (*ledger, error) {
	none := &ledger{Version: ledgerVersion, Groups: map[string]*group{}}
	l := &ledger{}
	if err := json.Unmarshal(data, l); err != nil || l.Version != ledgerVersion || l.Groups == nil {
		return none, errors.New("the file of alerts already sent is damaged, or of another version: they are sent once more")
	}
	for k, g := range l.Groups {
		if g == nil || k != key(g.Event, g.Cause, g.Provider) || g.Wait < 0 || g.Wait > longestGather || g.Tries < 0 {
			delete(l.Groups, k)
		}
	}
	return l, nil
}

// write replaces the file if it changed.
func (l *ledger) write(dir string) error {
	data, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if bytes.Equal(data, l.written) {
		return nil
	}
	if err := atomicfile.Write(ledgerFile(dir), data, 0o600); err != nil {
		return err
	}
	l.written = data
	return nil
}
