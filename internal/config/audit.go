package config

import (
	"errors"
	"strconv"
	"strings"

	"authferry/internal/config/document"
)

// auditSize is how big the record of logins may grow unless the configuration
// says otherwise: some 20,000 logins, and as many failures.
const auditSize = 10_000_000

// readAudit reads how big the record of logins may grow; 0: none is kept.
func readAudit(t *document.Table) int64 {
	defer t.Done()
	text := t.Text("max_size", "10MB")
	n, err := parseSize(text)
	switch {
	case err != nil:
		t.Complain("max_size", "must be a size in quotes", `such as "10MB" or "500kB"; "0" keeps no record`)
	case n != 0 && n < leastAudit:
		t.Complain("max_size", "is too little for a record of logins", `"100kB" or more; "0" keeps no record`)
	default:
		return n
	}
	return auditSize
}

// leastAudit leaves each of the record's four files room for some lines.
const leastAudit = 100_000

// sizeUnits are powers of 1000, as disks are sold.
var sizeUnits = []struct {
	name string
	size int64
}{{"kB", 1000}, {"MB", 1000_000}, {"GB", 1000_000_000}, {"", 1}}

var errSize = errors.New("not a size")

// parseSize reads a number of bytes such as "10MB", in any case.
func parseSize(text string) (int64, error) {
	for _, unit := range sizeUnits {
		digits, ok := cutSuffixFold(text, unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 31)
		if err != nil {
			return 0, errSize
		}
		return int64(n) * unit.size, nil
	}
	return 0, errSize
}

func cutSuffixFold(s, suffix string) (string, bool) {
	i := len(s) - len(suffix)
	if i < 0 || !strings.EqualFold(s[i:], suffix) {
		return s, false
	}
	return s[:i], true
}
