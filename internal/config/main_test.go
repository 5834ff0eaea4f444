package config

import (
	"testing"

	"authferry/internal/config/configtest"
)

func TestMain(m *testing.M) {
	configtest.ClearEnvironment()
	m.Run()
}
