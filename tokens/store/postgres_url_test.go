package store

import (
	"context"
	"strings"
	"testing"

	"authferry/internal/secret"
)

// TestPostgresRefusals: URLs that are refused, in one line without the password.
func TestPostgresRefusals(t *testing.T) {
	for name, url := range map[string]string{
		"another scheme": "mysql://u:CANARY@h/d", "no host": "postgres://u:CANARY@:x/d", "%": "postgres://u:%zzCANARY@h/d",
		"space": "postgres://u:CAN ARY@h/d", "sslmode": "postgres://u:CANARY@h/d?sslmode=sometimes", "CA": "postgres://u:CANARY@h/d?sslrootcert=/nowhere",
		"nobody there": "postgres://u:CANARY@127.0.0.1:1/d",
	} {
		_, err := OpenPostgres(context.Background(), PostgresOptions{URL: secret.String(url), Seal: newSeal(t)})
		if err == nil || strings.Contains(err.Error(), "CAN") || strings.Contains(err.Error(), "ARY") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDescribePostgres: TLS is verified unless the URL says otherwise.
func TestDescribePostgres(t *testing.T) {
	t.Setenv("PGSSLMODE", "")
	for url, want := range map[string]struct{ place, warning string }{
		"postgres://u:CANARY@db.example/mail":                     {"postgres://u@db.example:5432/mail", ""},
		"postgres://u:CANARY@db.example/mail?connect_timeout=9":   {"postgres://u@db.example:5432/mail", ""},
		"postgres://u:CANARY@db.example/mail?sslmode=verify-full": {"postgres://u@db.example:5432/mail", ""},
		"postgres://u:CANARY@db.example/mail?sslmode=require":     {"postgres://u@db.example:5432/mail", "not verified"},
		"postgres://u:CANARY@db.example/mail?sslmode=prefer":      {"postgres://u@db.example:5432/mail", "without TLS"},
		"postgres://u:CANARY@db.example/mail?sslmode=disable":     {"postgres://u@db.example:5432/mail", "without TLS"},
		"postgres://u:CANARY@[::1]/mail":                          {"postgres://u@::1:5432/mail", ""},
		"postgresql:///mail?host=/run/postgresql&user=u":          {"postgres://u@/run/postgresql/mail", ""},
	} {
		place, warning, err := DescribePostgres(secret.String(url))
		if err != nil || place != want.place || !strings.Contains(warning, want.warning) || (warning == "") != (want.warning == "") {
			t.Errorf("%s: %q, %q, %v", url, place, warning, err)
		}
	}
	c, err := postgresConfig("postgres://u@db.example/mail")
	if err != nil || c.ConnConfig.TLSConfig == nil || c.ConnConfig.TLSConfig.InsecureSkipVerify || c.ConnConfig.TLSConfig.ServerName != "db.example" || len(c.ConnConfig.Fallbacks) > 0 {
		t.Errorf("TLS is not verified: %+v, %v", c, err)
	}
}
