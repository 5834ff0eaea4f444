package document

import "testing"

// TestDatabaseIsShownWithoutSecrets: passwords may be in more than one place.
func TestDatabaseIsShownWithoutSecrets(t *testing.T) {
	for address, want := range map[string]string{
		"postgres://u:CANARY@db.example.org:5432/mail":                            "postgres://db.example.org:5432/mail",
		"postgres://db.example.org/mail?user=u&password=CANARY":                   "postgres://db.example.org/mail",
		"PostgreSQL://u:CANARY@db.example.org/mail?sslpassword=CANARY#CANARY":     "postgresql://db.example.org/mail",
		"postgresql://a.example.org:5432,b.example.org:5432/mail?password=CANARY": "postgresql://a.example.org:5432,b.example.org:5432/mail",
		"postgres://db.example.org:x/mail?password=CANARY":                        hiddenValue,
	} {
		if got := withoutUser(address); got != want {
			t.Errorf("%s is shown as %s, not %s", address, got, want)
		}
	}
}
