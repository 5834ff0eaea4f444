//go:build realmail

package main

import "testing"

func (m *realMail) testWrongPassword(t *testing.T) {}
func (m *realMail) testTrouble(t *testing.T) {}
