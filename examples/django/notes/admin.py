"""How notes are written and found in the admin."""

from django.contrib import admin

from .models import Note


@admin.register(Note)
class NoteAdmin(admin.ModelAdmin):
    list_display = ["title", "written"]
    search_fields = ["title", "text"]
